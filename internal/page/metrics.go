package page

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/popferry/popferry/internal/bridge"
)

// metric is a figure that each account has.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(bridge.AccountState) float64
}

func newMetric(name, help string, kind prometheus.ValueType, of func(bridge.AccountState) float64) metric {
	return metric{prometheus.NewDesc("popferry_"+name, help, []string{"account"}, nil), kind, of}
}

var metrics = []metric{
	newMetric("up", "Whether the last pass that asked the servers succeeded.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return truth(a.Works) }),
	newMetric("in_flight", "Whether a pass is under way.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return truth(a.UnderWay()) }),
	newMetric("parked", "Whether the credentials were refused, so that it is hardly tried.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return truth(a.Phase == bridge.Parked) }),
	newMetric("last_success_timestamp_seconds", "When a pass last succeeded; 0 if none is known.",
		prometheus.GaugeValue, func(a bridge.AccountState) float64 { return unix(a.Success) }),
	newMetric("held", "Messages that are held.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return float64(a.Held) }),
	newMetric("left", "Messages on POP3 that are still to be brought.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return float64(a.Left) }),
	newMetric("waiting", "Messages whose append has to settle.", prometheus.GaugeValue,
		func(a bridge.AccountState) float64 { return float64(a.Waiting) }),
	newMetric("delivered_total", "Messages delivered since the start.", prometheus.CounterValue,
		func(a bridge.AccountState) float64 { return float64(a.Delivered) }),
	newMetric("deleted_total", "Messages deleted from POP3 since the start.", prometheus.CounterValue,
		func(a bridge.AccountState) float64 { return float64(a.Deleted) }),
	newMetric("bytes_total", "Octets delivered since the start.", prometheus.CounterValue,
		func(a bridge.AccountState) float64 { return float64(a.Bytes) }),
	newMetric("passes_total", "Passes since the start.", prometheus.CounterValue,
		func(a bridge.AccountState) float64 { return float64(a.Passes) }),
	newMetric("pass_seconds_total", "Seconds that passes took since the start.", prometheus.CounterValue,
		func(a bridge.AccountState) float64 { return a.Seconds }),
}

var (
	errorsTotal = prometheus.NewDesc("popferry_errors_total", "Passes that failed since the start, by class.",
		[]string{"account", "class"}, nil)
	buildInfo = prometheus.NewDesc("popferry_build_info", "The version of popferry; always 1.",
		[]string{"version"}, nil)
	startTime = prometheus.NewDesc("popferry_start_timestamp_seconds", "When the bridge started.", nil, nil)
	alertsUp  = prometheus.NewDesc("popferry_alerts_up", "Whether the last alert that was tried was delivered.",
		[]string{"by"}, nil)
	alertsWaiting = prometheus.NewDesc("popferry_alerts_waiting", "Alerts that are not delivered yet.",
		[]string{"by"}, nil)
)

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// collector gives the figures of one snapshot to Prometheus.
type collector struct {
	snapshot bridge.Snapshot
	ways     []bridge.Way
	build    string
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, c.build)
	ch <- prometheus.MustNewConstMetric(startTime, prometheus.GaugeValue, unix(c.snapshot.Started))
	for _, w := range c.ways {
		ch <- prometheus.MustNewConstMetric(alertsUp, prometheus.GaugeValue, truth(w.Error == nil), w.By)
		ch <- prometheus.MustNewConstMetric(alertsWaiting, prometheus.GaugeValue, float64(w.Waiting), w.By)
	}
	for _, a := range c.snapshot.Accounts {
		name := strings.ToValidUTF8(a.Name, "\uFFFD") // a label has to be
		for _, m := range metrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(a), name)
		}
		for class, n := range a.Errors {
			ch <- prometheus.MustNewConstMetric(errorsTotal, prometheus.CounterValue, float64(n), name, class)
		}
	}
}

func (s *site) metrics(w http.ResponseWriter, r *http.Request) {
	snapshot, ok := s.shown(w, r)
	if !ok {
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{snapshot, s.Ways(), s.Build})
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
