package check

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/provider"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
	"github.com/popferry/popferry/pop"
)

// quitLimit bounds the farewell.
const quitLimit = 10 * time.Second

func newSide(protocol wire.Protocol, e plan.Endpoint) Side {
	at := e.Endpoint
	at.Protocol = protocol
	return Side{Server: at.String(), Username: e.Username, AuthorizeAs: e.AuthorizeAs}
}

// source looks at a maildrop: it retrieves nothing.
func (c *checker) source(ctx context.Context, a plan.Account) Source {
	a.Source.Protocol = wire.POP3
	s := Source{Side: newSide(wire.POP3, a.Source)}
	started := time.Now()
	var m *pop.Maildrop
	err := c.visits.visit(ctx, a.Source, func() (err error) {
		return c.visits.showing(ctx, a.Source, func(e plan.Endpoint) (sasl.LoggedIn, error) {
			a.Source = e
			m, err = c.DialSource(ctx, a)
			return m, err
		})
	}, func() error {
		defer leave(ctx, m)
		entries, err := m.List(ctx)
		s.describe(m, a.Source.Host, c.Now()) // only now: some of it is told after the login
		if err != nil {
			return err
		}
		return c.count(ctx, a, entries, &s)
	})
	s.ended(ctx, a.Source, started, err)
	return s
}

// leave says QUIT, so that the server gives the lock back at once. Nothing was
// retrieved, so that it removes nothing.
func leave(ctx context.Context, m *pop.Maildrop) {
	ctx, cancel := context.WithTimeout(ctx, quitLimit)
	defer cancel()
	_ = m.Quit(ctx) // the session is over either way
}

// count tells what is waiting from what was delivered before.
func (c *checker) count(ctx context.Context, a plan.Account, entries []pop.Entry, s *Source) error {
	listing := make([]plan.Listed, len(entries))
	for i, e := range entries {
		listing[i] = plan.Listed{Number: e.Number, Size: e.Size, UIDL: e.UIDL}
	}
	for i, key := range plan.Keys(listing) {
		listing[i].Key = key
	}
	delivered, err := c.Delivered(ctx, a, listing)
	if err != nil {
		return err
	}
	s.Messages = len(listing)
	uses := map[string]int{}
	for _, l := range listing {
		uses[l.UIDL]++
	}
	for _, l := range listing {
		s.named = s.named || l.UIDL != ""
		s.Bytes += l.Size
		switch {
		case l.Key != "" && delivered[l.Key]:
		case a.Source.Skip.Has(l.UIDL) && uses[l.UIDL] == 1: // one that several have names none
			s.LeftAlone++
		default:
			s.waits(l.Size)
		}
	}
	return nil
}

func (s *Source) waits(size int64) {
	s.Waiting++
	s.WaitingBytes += size
	s.Largest = max(s.Largest, size)
}

func (s *Source) describe(m *pop.Maildrop, host string, now time.Time) {
	caps := m.Capabilities()
	known, _ := provider.ByHost(host)
	s.TLS, s.Auth = describeTLS(m.TLS, now), m.Mechanism()
	s.showed, s.leftOut = m.ShowedCertificate(), m.LeftOut()
	s.Expire, s.Software = caps.Expire, fault.Escape(caps.Implementation)
	s.LoginDelay = cmp.Or(caps.LoginDelay.Seconds(), known.Ways().LoginDelay.Seconds())
	if !caps.Known {
		return // it answers no CAPA, which says nothing about what it can do
	}
	s.offers("UIDL", caps.UIDL)
	s.offers("TOP", caps.Top)
	s.offers("PIPELINING", caps.Pipelining)
	if caps.Expire != "" {
		s.Capabilities = append(s.Capabilities, "EXPIRE "+caps.Expire)
	}
	if caps.LoginDelay > 0 {
		s.Capabilities = append(s.Capabilities, fmt.Sprintf("LOGIN-DELAY %.0f", s.LoginDelay))
	}
}

// offers notes a capability that matters as one that is there, or as missing.
func (s *Side) offers(name string, has bool) {
	if has {
		s.Capabilities = append(s.Capabilities, name)
		return
	}
	s.Missing = append(s.Missing, name)
}
