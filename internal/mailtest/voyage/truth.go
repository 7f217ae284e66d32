package voyage

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// truth is all mail that ever was, apart from where it is: how often, by form.
type truth struct {
	form func([]byte) string

	mu      sync.Mutex
	source  map[string]int // put into a maildrop
	before  map[string]int // put into the destination by others
	removed map[string]int // taken from a maildrop by others
	held    map[string]int // can't be delivered

	arrived map[string][]time.Time // when each copy was first seen in the destination
}

func (t *truth) begin(form func([]byte) string) {
	if t.form = form; form == nil {
		t.form = func(raw []byte) string { return string(corpus.Canonical(raw)) }
	}
	t.source, t.before = map[string]int{}, map[string]int{}
	t.removed, t.held = map[string]int{}, map[string]int{}
	t.arrived = map[string][]time.Time{}
}

func (t *truth) note(in map[string]int, messages [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, raw := range messages {
		in[t.form(raw)]++
	}
}

// Arrive puts messages into a maildrop.
func (w *World) Arrive(drop int, messages ...[]byte) {
	w.truth.note(w.truth.source, messages)
	w.Drops[drop].Deliver(messages...)
}

// Prefill puts messages into a folder of the destination, as others do.
func (w *World) Prefill(folder string, messages ...[]byte) {
	w.truth.note(w.truth.before, messages)
	for _, raw := range messages {
		w.Imap.User("").Deliver(folder, raw, nil, time.Time{})
	}
}

// TakeAway removes message n (from 1) from a maildrop, as another client does.
func (w *World) TakeAway(drop, n int) {
	raw := w.Drops[drop].Messages()[n-1]
	w.truth.note(w.truth.removed, [][]byte{raw})
	w.Drops[drop].Expunge(n)
}

// Undeliverable says of messages that the destination does not take them: they
// have to stay in the maildrop.
func (w *World) Undeliverable(messages ...[]byte) { w.truth.note(w.truth.held, messages) }

// tally counts messages by form.
func (t *truth) tally(messages [][]byte) map[string]int {
	counts := map[string]int{}
	for _, raw := range messages {
		counts[t.form(raw)]++
	}
	return counts
}

// inDrops returns all messages of the maildrops.
func (w *World) inDrops() [][]byte {
	var all [][]byte
	for _, d := range w.Drops {
		all = append(all, d.Messages()...)
	}
	return all
}

// InImap returns all messages of the destination, of every folder.
func (w *World) InImap() [][]byte {
	var all [][]byte
	store := w.Imap.User("")
	for _, name := range store.Mailboxes() {
		for _, m := range store.Mailbox(name) {
			all = append(all, m.Raw)
		}
	}
	return all
}

// Left is how many messages are in the maildrops, but for those that have to stay: what has a
// NUL can't be read back over IMAP, nor be told there from what has 0x80 in its place.
// It is asked at every step, so that only what may be alike is compared.
func (w *World) Left() int {
	n := 0
	for _, d := range w.Drops {
		left := d.Messages()
		stays := map[string]bool{}
		for _, m := range left {
			if bytes.IndexByte(m, 0) >= 0 {
				stays[string(corpus.Canonical(m))] = true
			}
		}
		for _, m := range left {
			if len(stays) == 0 || !stays[string(corpus.Canonical(m))] {
				n++
			}
		}
	}
	return n
}

// Lost lists mail that is in neither place now, though nobody but the program
// can have removed it. It may be asked at any moment.
func (w *World) Lost() []string {
	// The maildrops first: what leaves them later has to be in the other place
	// by then.
	here, there := w.truth.tally(w.inDrops()), w.truth.tally(w.InImap())
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	var lost []string
	for form, n := range w.truth.source {
		if have := here[form] + there[form]; have < n-w.truth.removed[form] {
			lost = append(lost, fmt.Sprintf("lost: %d of %d of %s", n-have, n, abridged(form)))
		}
	}
	slices.Sort(lost)
	return lost
}

// Vanished lists mail of which no copy is left, though nobody but the program can
// have removed the last one. It asks less than Lost: where nothing could be known
// of the number of copies.
func (w *World) Vanished() []string {
	here, there := w.truth.tally(w.inDrops()), w.truth.tally(w.InImap())
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	var gone []string
	for form, n := range w.truth.source {
		if here[form]+there[form] == 0 && n > w.truth.removed[form] {
			gone = append(gone, "vanished: "+abridged(form))
		}
	}
	slices.Sort(gone)
	return gone
}

// Hasty lists mail that the program deleted from a maildrop before it had been in the
// destination for so long. It has to be asked whenever something may have arrived there.
func (w *World) Hasty(stay time.Duration) []string {
	here, there := w.truth.tally(w.inDrops()), w.truth.tally(w.InImap())
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	for form, n := range there {
		for range n - len(w.truth.arrived[form]) {
			w.truth.arrived[form] = append(w.truth.arrived[form], time.Now())
		}
	}
	var hasty []string
	for form, n := range w.truth.source {
		ripe := 0
		for _, at := range w.truth.arrived[form] {
			if time.Since(at) >= stay {
				ripe++
			}
		}
		if deleted := n - w.truth.removed[form] - here[form]; deleted > ripe {
			hasty = append(hasty, fmt.Sprintf("hasty: %d deleted, %d may be, of %s", deleted, ripe, abridged(form)))
		}
	}
	slices.Sort(hasty)
	return hasty
}

// Wrong lists what is not as it has to be after a run that ended well: mail that
// is lost, missing from the destination, there too often, or altered, which is
// both missing and unexpected.
func (w *World) Wrong() []string {
	wrong := w.Lost()
	there := w.truth.tally(w.InImap())
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	for form := range w.truth.before {
		if _, known := w.truth.source[form]; !known {
			w.truth.source[form] = 0
		}
	}
	for form, n := range w.truth.source {
		most := max(n-w.truth.held[form], w.truth.before[form])
		least := max(n-w.truth.held[form]-w.truth.removed[form], w.truth.before[form])
		switch have := there[form]; {
		case have < least:
			wrong = append(wrong, fmt.Sprintf("missing: %d instead of %d of %s", have, least, abridged(form)))
		case have > most:
			wrong = append(wrong, fmt.Sprintf("doubled: %d instead of %d of %s", have, most, abridged(form)))
		}
		delete(there, form)
	}
	for form, n := range there {
		wrong = append(wrong, fmt.Sprintf("unexpected: %d of %s", n, abridged(form)))
	}
	slices.Sort(wrong)
	return wrong
}

// abridged is enough of a message to know it again.
func abridged(form string) string {
	if at := strings.Index(strings.ToLower(form), "message-id:"); at > 0 {
		form = form[at:]
	}
	return fmt.Sprintf("%q", form[:min(len(form), 90)])
}

// Unwrapped is the form of mail that may travel as an attachment.
func Unwrapped(raw []byte) string {
	_, rest, wrapped := bytes.Cut(raw, []byte("filename=\"original.eml\"\r\nContent-Transfer-Encoding: "))
	if !wrapped {
		return string(corpus.Canonical(raw))
	}
	encoding, rest, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
	encoded, _, _ := bytes.Cut(rest, []byte("\r\n--popferry-"))
	if string(encoding) == "7bit" {
		return string(corpus.Canonical(encoded))
	}
	original, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(encoded), "\r\n", ""))
	if err != nil {
		return "unreadable wrapping: " + err.Error()
	}
	return string(corpus.Canonical(original))
}
