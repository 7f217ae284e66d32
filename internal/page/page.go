package page

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/secret"
)

// snapshotIn is how soon a bridge that is alive says how it is.
const snapshotIn = 2 * time.Second

// Options are what a page shows, and to whom.
type Options struct {
	// Snapshot and Changed are those of a [bridge.Bridge].
	Snapshot func() bridge.Snapshot
	Changed  func() <-chan struct{}
	// Passes tells fn of the passes since a moment, in the order of time.
	Passes func(ctx context.Context, since time.Time, fn func(journal.Pass) error) error
	// Ways tells how news is brought; nil: there is nobody to bring it to.
	Ways func() []bridge.Way
	// Token is asked for each request, since it may change; an empty one lets all in.
	Token func() secret.Value
	// Key is what cookies are made with, from [NewKey]; an empty one is one of this process.
	Key secret.Value
	// Address is where it listens: "host:port".
	Address string
	// Build is the version of the program.
	Build string
	// Log gets what goes wrong; nil drops it.
	Log *slog.Logger
}

// site is the handler behind its guards.
type site struct {
	Options
	asking  singleflight.Group
	past    past
	streams chan struct{}
}

// New makes the handler.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ways == nil {
		o.Ways = func() []bridge.Way { return nil }
	}
	s := &site{Options: o, streams: make(chan struct{}, maxStreams)}
	open := http.NewServeMux() // needs no token: it tells nothing
	open.HandleFunc("GET /healthz", s.health)
	for _, name := range assetNames {
		open.Handle("GET /"+name, asset(name))
	}
	closed := http.NewServeMux()
	closed.HandleFunc("GET /{$}", s.overview)
	closed.HandleFunc("GET /account/{name}", s.account)
	closed.HandleFunc("GET /api/status.json", s.status)
	closed.HandleFunc("GET /metrics", s.metrics)
	closed.HandleFunc("GET /events", s.events)
	closed.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "There is no such page.")
	})
	open.Handle("/", newGate(o.Address, o.Token, o.Key).guard(closed))
	return guard(newHosts(o.Address), open)
}

// snapshot asks the bridge, which can hang, from one goroutine at a time.
func (s *site) snapshot(ctx context.Context) (bridge.Snapshot, error) {
	answer := s.asking.DoChan("", func() (any, error) { return s.Snapshot(), nil })
	ctx, cancel := context.WithTimeout(ctx, snapshotIn)
	defer cancel()
	select {
	case a := <-answer:
		return a.Val.(bridge.Snapshot), nil
	case <-ctx.Done():
		return bridge.Snapshot{}, fault.Stopped("the bridge does not say how it is: %w", ctx.Err())
	}
}

// shown is a snapshot for a handler, which answered already if there is none.
func (s *site) shown(w http.ResponseWriter, r *http.Request) (bridge.Snapshot, bool) {
	snapshot, err := s.snapshot(r.Context())
	if err != nil {
		s.Log.Error("the status page has nothing to show", "error", err)
		refuse(w, http.StatusServiceUnavailable, "The bridge does not answer. See its log.")
	}
	return snapshot, err == nil
}

func (s *site) health(w http.ResponseWriter, r *http.Request) {
	if _, err := s.snapshot(r.Context()); err != nil {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
