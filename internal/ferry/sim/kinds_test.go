//go:build !race

package sim_test

import (
	"bytes"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// kinds are what has to happen in the histories that are always played.
var kinds = []string{
	"kill", "cut", "journal fails", "journal lost", "clock", "second runner", "stranger", "taken",
	"foreign mail", "renumbered", "uidvalidity", "uidl reused", "two into one folder",
	"IN-USE", "SYS/TEMP", "SYS/PERM", "LOGIN-DELAY", "LOGIN-DELAY announced", "EXPIRE 0",
	"DELE refused", "QUIT refused", "OVERQUOTA", "quota", "held", "wrapped",
}

// allKinds looks whether something is never met.
func allKinds(t *testing.T, figures map[string]int) {
	for _, kind := range kinds {
		if figures[kind] == 0 {
			t.Errorf("in none of the histories: %s", kind)
		}
	}
}

// tally counts what servers do. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[kind]++
}

// addReply counts what an answer to a command says.
func (t *tally) addReply(command, reply string) {
	for _, code := range []string{"IN-USE", "SYS/TEMP", "SYS/PERM", "LOGIN-DELAY", "OVERQUOTA"} {
		if strings.Contains(reply, "["+code+"]") {
			t.add(code)
		}
	}
	if strings.HasPrefix(reply, "-ERR") {
		t.add(command + " refused")
	}
}

// addLife counts what a life met.
func (h *history) addLife(report ferry.Report) {
	pop, imap := h.traits.options.Pop, h.traits.options.Imap
	for kind, met := range map[string]bool{
		"two into one folder":   h.traits.drops > 1,
		"LOGIN-DELAY announced": pop.LoginDelay > 0,
		"EXPIRE 0":              pop.ExpireAtOnce,
		"quota":                 imap.Quota > 0 && report.ExitCode == fault.Refused,
		"held":                  report.Totals.Held > 0,
	} {
		if met {
			h.seen.add(kind)
		}
	}
}

// total is all that happened.
func (h *history) total() map[string]int {
	for _, raw := range h.w.InImap() {
		if isWrapping(raw) {
			h.seen.add("wrapped")
		}
	}
	all := maps.Clone(h.figures)
	h.seen.mu.Lock()
	defer h.seen.mu.Unlock()
	for kind, n := range h.seen.counts {
		all[kind] += n
	}
	return all
}

// drawRules gives the servers rules of their own, now and then.
func (h *history) drawRules(t *traits) {
	o := &t.options
	o.Pop.ExpireAtOnce = h.maybe(8)
	if h.maybe(8) {
		o.Pop.LoginDelay = 20 * time.Second
	}
	if h.maybe(10) {
		o.Imap.Quota = int64(200 + h.rnd.IntN(2000))
	}
	if t.wraps = h.maybe(15) && !t.forgets && !t.stranger; t.wraps {
		o.Imap.Refuse = refuseNotes
	}
}

// refuseNotes is a server that takes no note, unless nothing can be read in it.
func refuseNotes(raw []byte) string {
	if isNote(raw) {
		return "NO [CANNOT] no"
	}
	return ""
}

func isNote(raw []byte) bool { return bytes.Contains(raw, []byte("Text of note")) }

// makeRoom ends the want of it.
func (h *history) makeRoom() {
	h.w.Imap.Configure(func(o *imapd.Options) { o.Quota = 0 })
}

// mustEmpty reports whether all can be deleted in the end. What has to be read before it
// is deleted stays where QUIT would remove what was read beside it.
func (h *history) mustEmpty() bool {
	pop := h.traits.options.Pop
	return h.traits.keep.Delete && h.traits.clock == right &&
		!(pop.ExpireAtOnce && (pop.DuplicateUIDLs || pop.NoUIDL || pop.NoTOP))
}

// staying is how many messages may not be deleted: what was wrapped, since it was
// refused for good or for as long as that took.
func (h *history) staying() int {
	wrapped := map[string]int{}
	for _, raw := range h.w.InImap() {
		if isWrapping(raw) {
			wrapped[voyage.Unwrapped(raw)]++
		}
	}
	n := 0
	for _, d := range h.w.Drops {
		for _, raw := range d.Messages() {
			form := voyage.Unwrapped(raw)
			if wrapped[form] > 0 {
				n++
			}
			wrapped[form]--
		}
	}
	return n
}

func isWrapping(raw []byte) bool { return bytes.Contains(raw, []byte("original.eml")) }
