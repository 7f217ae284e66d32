package pop

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// maxSkip bounds how much of a message that nobody wants is read to get past it.
const maxSkip = 64 << 20

// Retrieve fetches messages in the given order and hands each to fn. The body
// yields the message's octets with their line ends as they came, and is valid
// until fn returns; what fn leaves of it is skipped. A message that the server
// refuses is handed over as an error without a body: fault.Held by default, or
// the class of its response code. A body may end in an error of class fault.Held
// in place of io.EOF when the server's way with dots leaves its content in doubt, or
// when the server says behind it that it could not give all of it; when fn returns nil
// all the same the session goes on.
//
// With PIPELINING a window of commands is on its way (RFC 2449 §6.6), bounded by
// Options.Window and by about 32 MiB of announced sizes. After [ErrEnough] from fn no
// more is asked for: what is on its way is handed over, and that is all. Any other error
// from fn ends the call and the session, and is returned as it is. fn should take what it
// is given without long pauses: the server waits, and may give up.
func (m *Maildrop) Retrieve(ctx context.Context, entries []Entry,
	fn func(e Entry, body io.Reader, err error) error,
) error {
	f := &fetch{m: m, fn: fn, what: "RETR", whole: true}
	f.queue = newQueue(m, entries, func(e Entry) (string, int64) {
		return fmt.Sprintf("RETR %d", e.Number), e.Size
	})
	f.queue.named = f.queue.window > 1
	return f.run(ctx)
}

// fetch is one call of Retrieve or Top.
type fetch struct {
	m     *Maildrop
	queue *queue
	fn    func(Entry, io.Reader, error) error
	what  string
	// whole tells that bodies should be as long as LIST said.
	whole bool
	// body is the message being read; settled tells that it left the queue, and asked that
	// a LIST of it is on its way behind it.
	body           *body
	settled, asked bool
	// lastBody is what was read of the message before, if it was. Seed is for comparing
	// two bodies.
	lastBody *body
	seed     maphash.Seed
}

func (f *fetch) run(ctx context.Context) error {
	f.seed = maphash.MakeSeed()
	for i := 0; i < len(f.queue.entries); i++ { // fn may cut them short
		f.body = nil
		if err := f.one(ctx, f.queue.entries[i]); err != nil {
			return err
		}
		f.lastBody = f.body
	}
	return nil
}

// one hands over one message. Each has its own allowance of time, so that what
// fn takes is not held against the server.
func (f *fetch) one(ctx context.Context, e Entry) error {
	defer f.m.conn.Begin(ctx)()
	if err := f.queue.refill(); err != nil {
		return err
	}
	reply, err := f.m.answer()
	if err != nil {
		return err
	}
	if f.strays(e, reply) {
		return f.outOfStep(e, f.what, reply)
	}
	if !reply.ok {
		return f.refused(e, reply)
	}
	f.settled, f.asked = false, false
	f.body = newBody(f.m.conn.Reader(), reply.bare, func() (bool, error) { return f.atEnd(e) })
	f.body.keepFirst, f.body.doublesAll = f.m.plainFirst, doublesAll(f.m.greeting)
	if !f.whole {
		f.body.most = maxTop + min(e.Size, maxWholeTop)
	}
	if !f.queue.named {
		f.body.sum = &maphash.Hash{}
		f.body.sum.SetSeed(f.seed)
	}
	content := reader{f.body, e, f.m.conn}
	if err := f.hand(e, content, nil); err != nil {
		return err
	}
	f.m.plainFirst = f.m.plainFirst || f.body.first == single
	return f.skip(content)
}

func (f *fetch) refused(e Entry, reply status) error {
	if f.queue.named {
		if err := f.named(e, true); errors.Is(err, ErrOutOfStep) {
			return err // else what the server says of its end is worth more
		}
	}
	f.queue.answered(e)
	err := f.m.refusal(fmt.Sprintf("%s %d", f.what, e.Number), reply, fault.Held)
	if f.what == "TOP" && containsAny(reply.text, unsupportedWords) {
		err.Err = ErrNoTop
		if f.queue.open == 0 && !f.queue.named {
			return err
		}
	}
	return f.hand(e, nil, err)
}

// hand gives an answer to fn.
func (f *fetch) hand(e Entry, body io.Reader, refusal error) error {
	err := f.fn(e, body, refusal)
	switch {
	case errors.Is(err, ErrEnough):
		f.queue.stop()
		return nil
	case err != nil:
		return f.abandon(e, err)
	}
	return nil
}

// abandon ends the session because fn wants no more: replies are on their way.
func (f *fetch) abandon(e Entry, err error) error {
	f.m.conn.Break(fault.Stopped("%s: stopped at message %d: %w",
		f.m.conn.Address(), e.Number, err))
	return err
}

// skip reads what fn left of a body.
func (f *fetch) skip(rest reader) error {
	_, err := io.Copy(io.Discard, io.LimitReader(rest, maxSkip))
	if fault.CodeOf(err) == fault.Held {
		return nil // fn was told; the session is in order
	}
	if err != nil {
		return err
	}
	if f.body.err == nil {
		return f.m.conn.Break(fault.New(fault.Temporary, "%s: message %d: %w after %d bytes",
			f.m.conn.Address(), rest.entry.Number, ErrAbandoned, f.body.size).
			WithHint("the connection was closed instead; a new one goes on with the next message"))
	}
	return nil
}

// reader is what fn sees of a body: it makes the errors fit to be shown.
type reader struct {
	body  *body
	entry Entry
	conn  *wire.Conn
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	return n, r.classify(err)
}

// WriteTo implements io.WriterTo.
func (r reader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.body.WriteTo(w)
	return n, r.classify(err)
}

func (r reader) classify(err error) error {
	address := r.conn.Address()
	switch {
	case errors.Is(err, ErrBadEnd):
		return fault.New(fault.Protocol, "%s did not end message %d: %w", address,
			r.entry.Number, err).WithHint("the server's line ends are broken; ask its operator")
	case errors.Is(err, errDots):
		return fault.New(fault.Held, "%s: message %d: %w", address, r.entry.Number, err).
			WithHint("the message stays on POP3; fetch it by other means")
	case errors.Is(err, ErrTopTooLong):
		return r.conn.Break(fault.New(fault.Protocol, "%s: message %d: %w (%d bytes, of %d in LIST)",
			address, r.entry.Number, err, r.body.size, r.entry.Size).
			WithHint("the server does not end its answer to TOP; ask its operator"))
	case errors.Is(err, ErrEndedEarly):
		return r.conn.Break(&fault.Error{
			Code: fault.Protocol,
			Message: fmt.Sprintf("%s ended message %d early (%d of %d bytes)", address,
				r.entry.Number, r.body.size, r.entry.Size),
			Hint: "the server does not double the dots of lines that start with one " +
				"(RFC 1939 §3), so this message can't be told from what follows",
			Err: ErrEndedEarly,
		})
	}
	return err
}

// atEnd is asked at the terminator of a message whether it is one. The next command
// goes out first, so that seeing its reply begin costs no wait of its own: had a lone
// dot in the message been taken for the terminator, the rest of the message would come
// instead.
func (f *fetch) atEnd(e Entry) (early bool, err error) {
	if f.queue.named {
		early, err = f.atNamedEnd(e)
	} else {
		early, err = f.atPlainEnd(e)
	}
	switch {
	case err != nil:
		return false, f.unlessVouched(e, err)
	case early:
		return true, nil
	case f.whole && !f.body.dotsFit(e.Size):
		return false, errDots
	}
	return false, nil
}

// atNamedEnd expects the answer to the LIST behind the message.
func (f *fetch) atNamedEnd(e Entry) (early bool, err error) {
	if err := f.queue.refill(); err != nil {
		return false, err
	}
	early, err = f.noReply()
	if err == nil && !early {
		err = f.named(e, false)
	}
	if errors.Is(err, wire.ErrStalled) {
		err = fault.New(fault.Temporary, "%w: LIST %d: %v", ErrOutOfStep, e.Number, err).
			WithHint("the server does not answer LIST; one message at a time may work")
	}
	if err == nil && !early {
		f.queue.answered(e)
	}
	return early, err
}

// atPlainEnd expects nothing before the next command. What the size does not vouch for
// is asked about first: the reply to that command may be the rest of the message, too.
func (f *fetch) atPlainEnd(e Entry) (early bool, err error) {
	if !f.settled {
		f.settled = true
		f.queue.answered(e)
	}
	switch {
	case !f.asked && f.m.conn.Buffered() > 0:
		return f.unasked(e)
	case f.sameAgain():
		err = f.askName(e)
	case f.asked || !f.vouched(e):
		early, err = f.askInStep(e)
	}
	if early || err != nil {
		return early, err
	}
	if err := f.queue.refill(); err != nil || f.queue.open == 0 {
		return false, err
	}
	return f.noReply()
}

// vouched tells whether the message can be seen to be whole. Of TOP nothing more than
// the header was asked for, or else the name tells.
func (f *fetch) vouched(e Entry) bool {
	if f.whole {
		return f.body.vouchedBy(e.Size)
	}
	return f.body.size > 0 && f.body.header == f.body.size
}

// unasked judges what the server says behind the terminator of itself. It may be the
// farewell of one that gave up waiting (RFC 1939 §3), with nothing behind it. Else it is
// the rest of a message in which a dot stood alone, such as somebody's POP3 session.
func (f *fetch) unasked(e Entry) (early bool, err error) {
	if early, err = f.noReply(); early || err != nil {
		return early, err
	}
	if start, _ := f.m.conn.Reader().Peek(1); start[0] == '+' {
		return false, f.m.expectSilence()
	}
	said, err := f.m.answer()
	if err != nil {
		return false, err
	}
	return false, f.farewell(e, said)
}

// farewell is what ends the session, unless there is more to come, or the server stays and
// has said what is wrong with the message, or with what of it was not asked for.
func (f *fetch) farewell(e Entry, said status) error {
	if f.m.conn.Buffered() > 0 {
		return ErrEndedEarly
	}
	err, whole := f.sameStat(), f.vouched(e)
	switch {
	case err == nil && whole:
		return nil
	case err == nil && f.whole:
		return f.complaint(e, said)
	case !whole && (err == nil || errors.Is(err, ErrEndedEarly)):
		return ErrEndedEarly
	}
	return f.m.conn.Break(f.m.refusal("session", said, fault.Temporary))
}

// complaint is about a message that the server could not give to its end. What it gave of
// it has the terminator (RFC 1939 §3) and looks whole.
func (f *fetch) complaint(e Entry, said status) error {
	err := refuse(fmt.Sprintf("%s ended message %d early (%d of %d bytes), and said",
		f.m.conn.Address(), e.Number, f.body.size, e.Size), said, f.m.shown(said.text), fault.Held)
	if err.Code == fault.Held {
		return err
	}
	return f.m.conn.Break(err)
}

// noReply waits for what is to be a reply, leaves it in the buffer, and tells if
// it is none.
func (f *fetch) noReply() (bool, error) {
	r := f.m.conn.Reader()
	start, err := r.Peek(1)
	if err == nil && (start[0] == '+' || start[0] == '-') {
		start, err = r.Peek(len("-ERR"))
	}
	if err != nil {
		return false, err
	}
	_, isOK := cutPrefixFold(start, "+OK")
	_, isErr := cutPrefixFold(start, "-ERR")
	return !isOK && !isErr, nil
}

// unlessVouched believes the terminator of a message that is as long as announced
// when the connection ends behind it, so that a server that hangs up after each
// message still hands over one a session. Not so where it may be the answer to
// something else that was asked.
func (f *fetch) unlessVouched(e Entry, err error) error {
	unnamed := f.queue.named && f.queue.open > 1 || errors.Is(err, ErrOutOfStep)
	if !f.vouched(e) || unnamed || errors.Is(err, ErrEndedEarly) {
		return err
	}
	return nil
}
