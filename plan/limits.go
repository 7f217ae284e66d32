package plan

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/fault"
)

// Limits bound what is done at once, and how fast, over all accounts.
type Limits struct {
	// Accounts is how many accounts are at work at once.
	Accounts int
	// PerHost is how many connections one server gets: POP3 and IMAP of a host are two, as
	// an account holds one of each, and would else wait for itself.
	PerHost int
	// Rates bound how fast mail is carried.
	Rates
	// Hours are the times of day at which mail is carried.
	Hours Hours
	// Hosts are limits of single hosts, by their names as in [Endpoint].
	Hosts map[string]HostLimits
}

// Rates bound how fast mail is carried; 0 is no bound.
type Rates struct {
	// Bandwidth is octets of mail a second, as POP3 gives them. What goes out to the
	// destination is as much again.
	Bandwidth int64
	// MessagesPerMinute is how many messages.
	MessagesPerMinute int
}

// HostLimits are the limits of one host, as a source and as a destination; 0 is no
// bound of its own.
type HostLimits struct {
	// Connections takes the place of [Limits.PerHost], for each server of the host.
	Connections int
	Rates
	// Hours are the times of day at which mail is carried from it or to it.
	Hours Hours
	// BytesPerDay is how many octets of mail a user of it may have carried in a day;
	// [Unlimited] is any number, whatever is known of the provider.
	BytesPerDay int64
	// KnownOf names the provider that BytesPerDay is known of; empty where it is the
	// user's own.
	KnownOf string
	// PerUser bounds the connections to each of its users, over all accounts that carry
	// there. It is known of the provider: accounts.yaml can't have it.
	PerUser UserLimit
}

// UserLimit is how many connections a provider lets each of its users have; 0 is not known.
type UserLimit struct {
	Connections int
	Provider    string // a user is the same one at all of its hosts
	// Domains are those of the provider's own addresses, which users may leave out; blanks
	// stand between them.
	Domains string
}

// Of names the user whom connections to a destination count to; nobody where there is no
// limit. Case means nothing: whoever takes two users for one only waits.
func (u UserLimit) Of(destination Endpoint) string {
	if u.Connections <= 0 {
		return ""
	}
	user := strings.ToLower(destination.Mailbox())
	if local, domain, _ := strings.Cut(user, "@"); slices.Contains(strings.Fields(u.Domains), domain) {
		user = local
	}
	return u.Provider + "\x00" + user
}

// Unlimited is no bound, and also none that is known of a provider.
const Unlimited = -1

// Over returns the limits with what they leave open taken from others, such as those
// that are known of a provider.
func (h HostLimits) Over(others HostLimits) HostLimits {
	knownOf := h.KnownOf
	if h.BytesPerDay == 0 {
		knownOf = others.KnownOf
	}
	hours := h.Hours
	if len(hours) == 0 {
		hours = others.Hours
	}
	return HostLimits{
		Connections: cmp.Or(h.Connections, others.Connections),
		Rates: Rates{
			Bandwidth:         cmp.Or(h.Bandwidth, others.Bandwidth),
			MessagesPerMinute: cmp.Or(h.MessagesPerMinute, others.MessagesPerMinute),
		},
		Hours:       hours,
		BytesPerDay: cmp.Or(h.BytesPerDay, others.BytesPerDay),
		KnownOf:     knownOf,
		PerUser:     cmp.Or(h.PerUser, others.PerUser),
	}
}

// Host returns the limits of a host. The number of connections is never 0.
func (l Limits) Host(name string) HostLimits {
	return l.Hosts[name].Over(HostLimits{Connections: max(1, l.PerHost)})
}

// Bounds of rates: less is not worth a connection, more is no limit.
const (
	leastBandwidth = 16 << 10
	leastADay      = 1 << 20
	mostOctets     = 1 << 50
	mostMessages   = 1_000_000
)

var (
	limitsSpec = &spec{what: "limits",
		keys: []string{"accounts", "per_host", "bandwidth", "messages_per_minute", "hours", "hosts"}}
	hostLimitsSpec = &spec{what: "limits of a host",
		keys: []string{"connections", "bandwidth", "messages_per_minute", "hours", "bytes_per_day"}}
)

func (d *decoder) limits(top fields) Limits {
	f := top.sub("limits", limitsSpec)
	return Limits{
		Accounts: f.number("accounts", defaultAccounts, mostAtOnce),
		PerHost:  f.number("per_host", defaultPerHost, mostAtOnce),
		Rates:    f.rates(), Hours: f.hours("hours"), Hosts: d.hostLimits(f),
	}
}

func (f fields) rates() Rates {
	return Rates{Bandwidth: f.octets("bandwidth", leastBandwidth,
		"how much in a second, such as 500KiB or 2MiB, and 16KiB at least"),
		MessagesPerMinute: f.number("messages_per_minute", 0, mostMessages)}
}

// octets returns a number of octets, or 0.
func (f fields) octets(key string, least uint64, wanted string) int64 {
	node := f.find(key)
	if node == nil {
		return 0
	}
	n, err := humanize.ParseBytes(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || n < least || n > mostOctets {
		f.problem(node, key, "must be %s", wanted)
		return 0
	}
	return int64(n)
}

// hostLimits reads a mapping whose keys are host names.
func (d *decoder) hostLimits(f fields) map[string]HostLimits {
	node := f.find("hosts")
	if node == nil || isNull(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		f.problem(node, "hosts", "must be a mapping with a host name before each colon, not %s", kindOf(node))
		return nil
	}
	hosts := map[string]HostLimits{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name, err := parseHost(key.Value)
		switch _, twice := hosts[name]; {
		case err != nil:
			f.problem(key, "hosts", "has a key that %v", err)
			continue
		case twice:
			f.problem(key, "hosts", "has this host twice; write it once")
			continue
		}
		own := d.mapping(node.Content[i+1], hostLimitsSpec)
		h := fields{d: d, at: key, path: f.path + "hosts." + fault.Escape(name) + ".", layers: []*mapping{own}}
		hosts[name] = HostLimits{Connections: h.number("connections", 0, mostAtOnce), Rates: h.rates(),
			Hours: h.hours("hours"), BytesPerDay: h.bytesPerDay()}
	}
	return hosts
}

// bytesPerDay is a number of octets, or "unlimited".
func (f fields) bytesPerDay() int64 {
	if node := f.find("bytes_per_day"); node != nil && node.Kind == yaml.ScalarNode && node.Value == "unlimited" {
		return Unlimited
	}
	return f.octets("bytes_per_day", leastADay, `how much in a day, such as 500MiB, and 1MiB at least, or "unlimited"`)
}

// Hours are times of day, by the clock of this machine. None are all.
type Hours []Window

// Window is a part of some days of the week. One that ends before it begins goes on
// into the next day.
type Window struct {
	Days     [7]bool // by [time.Weekday]; on these it begins
	From, To Clockface
}

// Clockface is a time of day, in minutes.
type Clockface int

// Open reports whether a moment is within the hours, and when that changes; the zero
// time says never.
func (h Hours) Open(now time.Time) (open bool, until time.Time) {
	if len(h) == 0 {
		return true, time.Time{}
	}
	for until = now; ; {
		end := h.end(until)
		if end.IsZero() {
			break
		}
		if open, until = true, end; end.Sub(now) > 7*day {
			return true, time.Time{}
		}
	}
	if open {
		return true, until
	}
	return false, h.next(now)
}

// end returns the latest end of the windows that a moment is in.
func (h Hours) end(at time.Time) (latest time.Time) {
	h.each(at, func(from, to time.Time) {
		if !at.Before(from) && at.Before(to) && to.After(latest) {
			latest = to
		}
	})
	return latest
}

// next returns when the next window begins.
func (h Hours) next(at time.Time) (first time.Time) {
	h.each(at, func(from, _ time.Time) {
		if from.After(at) && (first.IsZero() || from.Before(first)) {
			first = from
		}
	})
	return first
}

// each calls fn with every window that begins between the day before a moment and a
// week after.
func (h Hours) each(at time.Time, fn func(from, to time.Time)) {
	year, month, today := at.Date()
	for offset := -1; offset <= 7; offset++ {
		// By the calendar: a day may have 23 hours.
		clock := func(days int, c Clockface) time.Time {
			return time.Date(year, month, today+offset+days, 0, int(c), 0, 0, at.Location())
		}
		for _, w := range h {
			over := 0
			if w.To <= w.From {
				over = 1
			}
			if w.Days[clock(0, 0).Weekday()] {
				fn(clock(0, w.From), clock(over, w.To))
			}
		}
	}
}

// hours reads one window or a list of them.
func (f fields) hours(key string) (list Hours) {
	node := f.find(key)
	if node == nil {
		return nil
	}
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = node.Content
	}
	for _, item := range items {
		item = resolveAlias(item)
		w, ok := parseWindow(item.Value)
		if item.Kind != yaml.ScalarNode || !ok {
			f.problem(item, key, `must be like "22:00-06:00" or "Mon-Fri 22:00-06:00", or a list of these`)
			continue
		}
		list = append(list, w)
	}
	if name, known := zone(); !known {
		f.problem(node, key, "would be by another clock than you mean: TZ is %q, which is no time zone that is known here, "+
			"and stands for UTC then; give a name such as Europe/Berlin", name)
	}
	return list
}

// zone is what the environment says of the time zone. One that is not known is UTC without a word.
func zone() (name string, known bool) {
	name = strings.TrimPrefix(os.Getenv("TZ"), ":")
	return name, name == "" || name == "UTC" || time.Local.String() != "UTC"
}

func parseWindow(text string) (w Window, ok bool) {
	days, times, found := strings.Cut(text, " ")
	if !found {
		days, times = "Sun-Sat", text
	}
	from, to, _ := strings.Cut(times, "-")
	var good [3]bool
	w.Days, good[0] = parseWeekdays(days)
	w.From, good[1] = parseClock(from)
	w.To, good[2] = parseClock(to)
	return w, good == [3]bool{true, true, true} && w.From < endOfDay
}

const endOfDay Clockface = 24 * 60

func parseClock(text string) (Clockface, bool) {
	if text == "24:00" {
		return endOfDay, true
	}
	at, err := time.Parse("15:04", text)
	return Clockface(at.Hour()*60 + at.Minute()), err == nil
}

// parseWeekdays reads "Mon", "Mon-Fri" and "Sat,Sun".
func parseWeekdays(text string) (days [7]bool, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, ok1 := parseWeekday(first)
		to, ok2 := parseWeekday(last)
		if !ok1 || !ok2 {
			return days, false
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, true
}

func parseWeekday(text string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(text, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}
