package check

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// visits lets connections to a server in, limits.per_host at a time, as many to a user
// as its provider lets it have, and none that is known to fail: a password that was refused, or a server that can't be reached,
// is tried once, however many accounts have it.
type visits struct {
	limits plan.Limits
	mu     sync.Mutex
	places map[string]*semaphore.Weighted // by address, or user
	logins map[login]*gate
	failed map[server]error
}

// server is a server, and how it is spoken to.
type server struct {
	protocol                wire.Protocol
	address, ca, pin, proxy string
	mode                    wire.TLSMode
	from                    netip.Addr
}

// login is whoever logs in there.
type login struct {
	server
	user, auth, certificate string
	forOthers               bool
	password                [sha256.Size]byte
}

// triesForOthers is how often a login is tried that opens the mailboxes of others:
// it may be one of these that the server refuses, and not the password.
const triesForOthers = 3

// gate lets one account try a login, and the others once it is known to work. Its
// channel holds the turn.
type gate struct {
	turn    chan struct{}
	tries   int // that are left
	proven  bool
	refused error // once none is left
}

func newVisits(limits plan.Limits) *visits {
	return &visits{limits: limits, places: map[string]*semaphore.Weighted{},
		logins: map[login]*gate{}, failed: map[server]error{}}
}

func serverOf(e plan.Endpoint) server {
	s := server{protocol: e.Protocol, address: e.Address(), ca: e.CAFile, pin: e.Pin, mode: e.TLS,
		from: e.SourceAddress}
	if e.Proxy != nil {
		s.proxy = e.Proxy.String()
	}
	return s
}

// visit dials and works, within the limits. The turn to log in is taken before the
// place at the server: who has a place never waits for a turn.
func (v *visits) visit(ctx context.Context, e plan.Endpoint, dial, work func() error) error {
	settle, err := v.gate(e).enter(ctx)
	if err != nil {
		return err
	}
	leave, err := v.enter(ctx, e)
	if err != nil {
		settle(err)
		return err
	}
	defer leave()
	err = v.dial(e, dial)
	settle(err)
	if err != nil {
		return err
	}
	return fault.Guard(work)
}

// showing dials with the certificate and, if that is refused, what there is beside it; or with the
// latter alone, where the certificate was refused to others.
func (v *visits) showing(ctx context.Context, e plan.Endpoint, dial func(plan.Endpoint) (sasl.LoggedIn, error)) error {
	if !e.BesideCertificate() {
		_, err := dial(e)
		return err
	}
	settle, err := v.certificate(e).enter(ctx)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		e.Certificate, settle = nil, func(error) {}
	}
	var s sasl.LoggedIn
	err = fault.Guard(func() (err error) {
		s, err = dial(e)
		return err
	})
	settle(sasl.OfCertificate(s, err))
	return err
}

// dial tries a server that is not known to fail.
func (v *visits) dial(e plan.Endpoint, dial func() error) error {
	if err := v.failure(e); err != nil {
		return err
	}
	err := fault.Guard(dial)
	if err != nil && lasting(e, err) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.failed[serverOf(e)] = err
	}
	return err
}

func (v *visits) failure(e plan.Endpoint) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed[serverOf(e)]
}

// lasting reports an error that the next account at this server would meet as well:
// what comes before any name is said.
func lasting(e plan.Endpoint, err error) bool {
	name := topicOf(e, err)
	greeted := !strings.Contains(err.Error(), "said nothing for")
	return !greeted || strings.HasPrefix(name, "certificate-") || slices.Contains([]string{
		"unknown-host", "dns", "connection-refused", "unreachable", "timeout", "self-signed", "pin-changed", "old-tls",
		"proxy", "source-address", "tls-expected", "tls-not-spoken", "starttls-missing", "web-server", "smtp-port",
		"other-protocol", "no-mail-server",
	}, name)
}

// enter takes a place at the user, if its connections are bounded, and then one at the
// server: whoever has that waits for nothing more.
func (v *visits) enter(ctx context.Context, e plan.Endpoint) (leave func(), err error) {
	limits := v.limits.Host(e.Host)
	server := v.place(e.Address(), limits.Connections)
	user := limits.PerUser.Of(e)
	if e.Protocol != wire.IMAP || user == "" {
		return func() { server.Release(1) }, server.Acquire(ctx, 1)
	}
	atUser := v.place(user, limits.PerUser.Connections)
	if err := atUser.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := server.Acquire(ctx, 1); err != nil {
		atUser.Release(1)
		return nil, err
	}
	return func() { server.Release(1); atUser.Release(1) }, nil
}

func (v *visits) place(name string, size int) *semaphore.Weighted {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.places[name] == nil {
		v.places[name] = semaphore.NewWeighted(int64(max(1, size)))
	}
	return v.places[name]
}

func (v *visits) gate(e plan.Endpoint) *gate {
	key := login{serverOf(e), e.Username, e.Auth, e.CertFile, e.AuthorizeAs != "", e.Secret.Mark()}
	if _, master, ok := e.Master(); ok {
		key.user, key.forOthers = master, true
	}
	if e.ByCertificate() { // for whom is the user name
		key.user, key.forOthers = "", true
	}
	return v.gateOf(key)
}

// certificate is the gate of a certificate that is tried before a password.
func (v *visits) certificate(e plan.Endpoint) *gate {
	return v.gateOf(login{server: serverOf(e), certificate: e.CertFile, forOthers: true})
}

func (v *visits) gateOf(key login) *gate {
	tries := 1
	if key.forOthers {
		tries = triesForOthers
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.logins[key] == nil {
		v.logins[key] = &gate{turn: make(chan struct{}, 1), tries: tries}
		v.logins[key].turn <- struct{}{}
	}
	return v.logins[key]
}

// enter waits until it is this visit's turn to try the login, and returns how to say
// what came of it, or that it was refused before.
func (g *gate) enter(ctx context.Context) (settle func(error), err error) {
	select {
	case <-g.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if g.proven || g.refused != nil {
		g.turn <- struct{}{}
		return func(error) {}, g.refused
	}
	return func(err error) {
		g.proven = err == nil
		if fault.CodeOf(err) == fault.Credentials {
			if g.tries--; g.tries == 0 {
				g.refused = err
			}
		}
		g.turn <- struct{}{}
	}, nil
}
