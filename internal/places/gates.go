package places

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// How many attempts to connect to a server that failed are made at once, over all
// accounts, and how many a second after these: it shall not be run over when it comes
// back.
const (
	knocksAtOnce = 10
	knocksASec   = 2
)

// Gates keep what comes after an outage from coming all at once. Nobody waits at the
// gate of a server that is well, unless to come back.
type Gates struct {
	mu sync.Mutex
	at map[string]*gate
}

type gate struct {
	failing bool // the last attempt failed, whosever it was
	tokens  *rate.Limiter
}

// NewGates makes them for servers of which nothing is known.
func NewGates() *Gates { return &Gates{at: map[string]*gate{}} }

func (g *Gates) of(server string) *gate {
	if g.at[server] == nil {
		g.at[server] = &gate{tokens: rate.NewLimiter(knocksASec, knocksAtOnce)}
	}
	return g.at[server]
}

// Pass waits until an attempt to connect to a server may be made. Again says that the
// one before failed, or that the connection was lost.
func (g *Gates) Pass(ctx context.Context, s *Slot, server string, again bool) error {
	g.mu.Lock()
	gate := g.of(server)
	free := !again && !gate.failing
	g.mu.Unlock()
	if free {
		return nil
	}
	return s.Sleep(ctx, gate.tokens.Reserve().Delay())
}

// Learn notes whether an attempt ended with an error that others are to expect, too.
func (g *Gates) Learn(server string, failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.of(server).failing = failing
}
