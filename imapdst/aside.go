package imapdst

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// asides are what was made of large literals before go-imap could be told whose they are: their
// UID comes behind them (RFC 3501 §7.4.2 leaves the order open). go-imap gets a token in place of
// the octets, which no server can know.
type asides struct {
	prefix string

	mu   sync.Mutex
	make func(io.Reader) (any, error) // what the present plan makes of a literal
	next int                          // number of the next one
	// kept are the last two: while one is being taken, the next may be made, and no more.
	kept [2]aside
}

// aside is what was made of one literal.
type aside struct {
	token string
	value any
	err   error
}

// numberDigits is how many digits follow the prefix of a token.
const numberDigits = 10

var errAsideLost = errors.New("messages without their UID between others")

func newAsides() *asides { return &asides{prefix: rand.Text()} }

// begin says what is to be made of literals from now on.
func (a *asides) begin(make func(io.Reader) (any, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.make, a.kept = make, [2]aside{}
}

// put makes of a literal what is to be made, and returns the token for it.
func (a *asides) put(literal io.Reader) (token string, err error) {
	a.mu.Lock()
	make, made := a.make, aside{token: fmt.Sprintf("%s%0*d", a.prefix, numberDigits, a.next)}
	a.next++
	a.mu.Unlock()
	made.value, made.err = make(literal)
	if _, err := io.Copy(io.Discard, literal); err != nil { // what broke the connection is told again
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = [2]aside{a.kept[1], made}
	return made.token, nil
}

// take returns what a token stands for; found is false for any other text.
func (a *asides) take(text string) (made aside, found bool) {
	if !strings.HasPrefix(text, a.prefix) {
		return aside{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, kept := range a.kept {
		if kept.token == text {
			return kept, true
		}
	}
	return aside{err: errAsideLost}, true
}

// readSection makes of a body section what read does, unless that was done already.
func readSection[T any](c *Conn, l imap.LiteralReader, read func(io.Reader) (T, error)) (v T, err error) {
	in, asides := literal{l, c.client.Closed()}, c.guard.asides
	if l.Size() != int64(len(asides.prefix)+numberDigits) {
		return read(in)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return v, err
	}
	made, found := asides.take(string(text))
	if !found {
		return read(bytes.NewReader(text))
	}
	v, _ = made.value.(T)
	return v, made.err
}

// anyOf is a reading whose result asides keep.
func anyOf[T any](read func(io.Reader) (T, error)) func(io.Reader) (any, error) {
	return func(r io.Reader) (any, error) { return read(r) }
}
