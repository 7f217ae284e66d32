package ferry

import (
	"context"
	"io"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/message"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// exportState is what kept held messages from being exported.
type exportState struct {
	ungiven error // why the source gave one not
	unkept  error // why it could not be kept
}

// exportHeld retrieves what this run reports as held, whether it was held now or
// long ago, for [Options.KeepHeld]. All that can be delivered is delivered by then
// and recorded, so that nothing that goes wrong here is in its way: that is told
// at the end of the trip.
func (t *trip) exportHeld(ctx context.Context) error {
	todo := t.toExport()
	if len(todo) == 0 {
		return nil
	}
	err := t.export(ctx, todo)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if fault.CodeOf(err) == fault.State {
		t.unkept = err
	} else {
		t.ungiven = err
	}
	t.hangUp() // out of step, or dead
	return nil
}

// toExport lists the held messages whose export is worth a try. Those that the
// POP3 server did not give a moment ago are not.
func (t *trip) toExport() []plan.Listed {
	if t.engine.KeepHeld == nil || t.unkept != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var todo []plan.Listed
	for _, l := range t.listing {
		if !t.held[l.Key] || t.exported[l.Key] {
			continue
		}
		t.exported[l.Key] = true
		if !strings.HasPrefix(t.report.Messages[t.rows[l.Key]].Reason, reasonSource) {
			todo = append(todo, l)
		}
	}
	return todo
}

func (t *trip) export(ctx context.Context, todo []plan.Listed) error {
	todo, vast := t.spoolable(todo)
	if len(todo) == 0 {
		return t.noRoom(vast)
	}
	if t.session.topped {
		if err := t.renewSource(ctx); err != nil {
			return err
		}
	}
	spool, session := t.engine.spool(), t.session
	err := t.source.Retrieve(ctx, entriesOf(todo), func(e pop.Entry, body io.Reader, refused error) error {
		if refused != nil {
			t.ungiven = refused
			return nil
		}
		t.retrieved(session, t.numbered(e.Number).Key)
		t.resolved(session) // it is held, and stays so
		body, err := t.readAgain(ctx, t.numbered(e.Number), body)
		if err != nil {
			return err
		}
		msg, err := spool.Receive(body)
		if fault.CodeOf(err) == fault.Held {
			t.ungiven = err
			return nil
		}
		if err != nil {
			return err
		}
		defer msg.Close()
		t.keep(t.numbered(e.Number), msg)
		return nil
	})
	if err != nil {
		return err
	}
	return t.noRoom(vast)
}

// keep makes the file of a held message, unless it arrived too short to be all of
// it.
func (t *trip) keep(l plan.Listed, msg *message.Message) {
	if !t.complete(l, msg.Summary) {
		t.ungiven = cutReason(l, msg.Summary)
		return
	}
	if t.unkept != nil {
		return
	}
	file, err := t.engine.KeepHeld(t.account.Name, msg)
	if err != nil {
		t.unkept = err
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Messages[t.rows[l.Key]].File = file
}

// complete reports whether what was given may be all of a message; a server whose
// sizes are known to be off is believed.
func (t *trip) complete(l plan.Listed, got message.Summary) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, same := t.shortened[l.Key].Same(got)
	return same || t.off >= sizesAreOff || !short(l.Size, got.Raw)
}

// concludeExport says of which held messages there is no file, at the end of a trip
// that ended with an error or not.
func (t *trip) concludeExport(ended error) error {
	if t.engine.KeepHeld == nil || t.unkept != nil {
		return t.unkept
	}
	missing := 0
	for _, m := range t.report.Messages {
		if m.State == string(journal.Held) && m.File == "" {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	why := reasonSource
	switch {
	case t.ungiven != nil:
		why = t.ungiven.Error()
	case ended != nil:
		why = "the run ended before"
	}
	t.note("%s could not be exported: %s", count(missing, "held message"), why)
	return nil
}
