package ferry

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/signin"
)

// How many attempts to connect to a server that failed are made at once, over all
// accounts, and how many a second after these: it shall not be run over when it comes
// back.
const (
	knocksAtOnce = 10
	knocksASec   = 2
)

// gates keep what comes after an outage from coming all at once. Nobody waits at the
// gate of a server that is well, unless to come back.
type gates struct {
	mu sync.Mutex
	at map[string]*gate
}

type gate struct {
	failing bool // the last attempt failed, whosever it was
	tokens  *rate.Limiter
}

func newGates() *gates { return &gates{at: map[string]*gate{}} }

func (g *gates) of(server string) *gate {
	if g.at[server] == nil {
		g.at[server] = &gate{tokens: rate.NewLimiter(knocksASec, knocksAtOnce)}
	}
	return g.at[server]
}

// pass waits until an attempt to connect to a server may be made. Again says that the
// one before failed, or that the connection was lost.
func (g *gates) pass(ctx context.Context, s *slot, server string, again bool) error {
	g.mu.Lock()
	gate := g.of(server)
	free := !again && !gate.failing
	g.mu.Unlock()
	if free {
		return nil
	}
	return s.sleep(ctx, gate.tokens.Reserve().Delay())
}

// learn notes how an attempt ended.
func (g *gates) learn(server string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.of(server).failing = fault.CodeOf(err) == fault.Temporary && !aboutAccount(err)
}

// aboutAccount reports an error that says nothing about other accounts (RFC 2449 §8.1).
func aboutAccount(err error) bool {
	return signin.IsNoToken(err) || errors.Is(err, errStood) || slices.Contains([]string{"IN-USE", "LOGIN-DELAY"}, responseOf(err))
}
