package ferry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
)

// isRefusal reports an error that is about one folder: others may still be open to us.
func isRefusal(err error) bool {
	code := fault.CodeOf(err)
	return err != nil && (code == fault.Refused || code == fault.Config)
}

// shuts reports whether an error is about one folder, as [isRefusal] does, once all patience
// is spent also where the server has trouble with that one: it may have less with others.
func (t *trip) shuts(err error) bool {
	if !isTrouble(err) {
		return isRefusal(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.troubled = true
	return t.impatient
}

// isTrouble reports a refusal for a fault of the server's own, or since another session has the
// mailbox (RFC 5530 §3), with which it does not want to be left alone for longer.
func isTrouble(err error) bool {
	troubles := []string{"UNAVAILABLE", "INUSE", "SERVERBUG", "CORRUPTION"}
	return fault.CodeOf(err) == fault.Temporary && fault.AfterOf(err) == 0 && slices.Contains(troubles, responseOf(err))
}

// goesOnWithout reports whether a folder that the server has trouble with is what ended one
// round too many: then its mail waits for another run, and all other mail does not (I7).
func (t *trip) goesOnWithout(err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.troubled && !t.impatient && isTrouble(err)
	t.impatient = t.impatient || first
	return first
}

// hurry has no such fault waited for any longer: what is left to do can wait for another run.
func (t *trip) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.impatient = true
}

// noteHidden tells of folders in which nothing could be looked for.
func (t *trip) noteHidden() {
	for _, f := range t.folders {
		if f.isHidden() {
			t.note("folder %s can't be looked at: %v", fault.Escape(f.name), f.closed())
		}
	}
}

// isGone reports a refusal because there is no such folder (RFC 3501 §7.1, RFC 5530 §3).
func isGone(refusal error) bool {
	var e *fault.Error
	return errors.As(refusal, &e) && (e.Response == "TRYCREATE" || e.Response == "NONEXISTENT")
}

// orHide hides a folder that an error shuts, if the others can do without it.
func (t *trip) orHide(f *folder, err error) error {
	if f == t.home || t.everywhere() || !t.shuts(err) {
		return err
	}
	f.hide(err)
	return nil
}

// shownShut is how many folders an error names; each message has its own in the report.
const shownShut = 10

// refusals is the error for mail that could not be delivered because of its folders.
func (t *trip) refusals() error {
	if len(t.shut) == 0 {
		return nil
	}
	code := fault.OK
	var texts, hints []string
	for _, f := range t.shut {
		refusal := f.closed()
		code = fault.Worst(code, fault.CodeOf(refusal))
		texts = append(texts, fmt.Sprintf("%s for folder %s not delivered: %v", count(len(f.waiting), "message"),
			fault.Escape(f.name), refusal))
		hints = append(hints, fault.HintOf(refusal))
	}
	if more := len(texts) - shownShut; more > 0 {
		texts = append(texts[:shownShut], "and "+count(more, "more folder"))
	}
	slices.Sort(hints)
	err := fault.New(code, "%s", strings.Join(texts, "; ")).WithHint("%s", strings.Join(slices.Compact(hints), "; "))
	err.Err = t.shut[0].closed() // as if it were alone
	return err
}
