package page

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// StatusVersion is the version of /api/status.json. Fields are added, never changed or
// taken away, within a version.
const StatusVersion = 1

// status is the JSON of /api/status.json.
type status struct {
	Version int    `json:"version"`
	Build   string `json:"build"`
	bridge.Snapshot
	Accounts []accountStatus `json:"accounts"`
	// Alerts are the ways to bring them, and how each does.
	Alerts []bridge.Way `json:"alerts,omitempty"`
}

// accountStatus is an account as programs see it: what the pages have, and not less.
type accountStatus struct {
	bridge.AccountState
	Messages []ferry.MessageReport `json:"messages,omitempty"`
	// What the history tells is left out if it can't be read.
	*pastStatus
}

// pastStatus is a [day] for programs.
type pastStatus struct {
	// Today counts what was delivered since midnight, Hours are the last 24, the present
	// one last, Recent the last passes, the latest first.
	Today  int          `json:"today"`
	Hours  []hourStatus `json:"hours"`
	Recent []passStatus `json:"recent"`
}

type hourStatus struct {
	Delivered int `json:"delivered"`
	Failed    int `json:"failed"`
}

// passStatus is a pass, or several that did nothing.
type passStatus struct {
	Started   time.Time  `json:"started"`
	Passes    int        `json:"passes"`
	Seconds   float64    `json:"seconds"`
	ExitCode  fault.Code `json:"exit_code"`
	Delivered int        `json:"delivered"`
	Duplicate int        `json:"duplicate"`
	Deleted   int        `json:"deleted"`
	Held      int        `json:"held"`
	Bytes     int64      `json:"bytes"`
	Error     string     `json:"error,omitempty"`
	Hint      string     `json:"hint,omitempty"`
}

func (s *site) status(w http.ResponseWriter, r *http.Request) {
	snapshot, ok := s.shown(w, r)
	if !ok {
		return
	}
	days := s.days(r.Context(), snapshot.Now)
	out := status{StatusVersion, s.Build, snapshot, make([]accountStatus, len(snapshot.Accounts)), s.Ways()}
	for i, a := range snapshot.Accounts {
		out.Accounts[i] = accountStatus{a, heldOf(a.Messages), newRow(a, snapshot.Now, days).Day.status()}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// status is nil if the history can't be read.
func (d *day) status() *pastStatus {
	if d == nil {
		return nil
	}
	out := &pastStatus{Today: d.Today, Recent: []passStatus{}}
	for i, n := range d.Delivered {
		out.Hours = append(out.Hours, hourStatus{n, d.Failed[i]})
	}
	for _, p := range slices.Backward(d.Passes) {
		out.Recent = append(out.Recent, passStatus{p.Started, p.Passes, p.Seconds, fault.Code(p.Code), p.Delivered,
			p.Duplicate, p.Deleted, p.Held, p.Bytes, p.Error, p.Hint})
	}
	return out
}
