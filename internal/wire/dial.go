package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// maxAddresses bounds how many addresses of a name are tried.
	maxAddresses = 8
	// headStart is how long an address is tried before the next one is tried beside it
	// (RFC 8305 §8).
	headStart = 250 * time.Millisecond
)

// DialFunc opens a connection; net.Dialer's DialContext is one.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// ResolveFunc finds the addresses of a host, the one to be tried first in front;
// net.Resolver's LookupNetIP is one.
type ResolveFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

func (e Endpoint) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Limits.withDefaults().Dial)
	defer cancel()
	if e.Dial != nil && e.Resolve == nil {
		conn, err := e.Dial(ctx, "tcp", e.Address())
		if err != nil {
			return nil, e.dialError(err, err.Error())
		}
		return conn, nil
	}
	addresses, err := e.addresses(ctx)
	if err != nil {
		return nil, e.unresolved(err)
	}
	conn, failed := e.race(ctx, addresses[:min(len(addresses), maxAddresses)])
	if conn == nil {
		return nil, e.dialError(failed[0].err, tried(failed, len(addresses)))
	}
	return conn, nil
}

// addresses are those of the host in the order in which they are to be tried: as the
// resolver has them, IPv6 and IPv4 in turn as far as there are both (RFC 8305 §4).
func (e Endpoint) addresses(ctx context.Context) ([]netip.Addr, error) {
	resolve := e.Resolve
	if resolve == nil {
		resolve = net.DefaultResolver.LookupNetIP
	}
	found, err := resolve(ctx, "ip", strings.Trim(e.Host, "[]"))
	if err == nil && len(found) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		return nil, err
	}
	var queues [2][]netip.Addr // of the first one's family, and of the other
	for i, a := range found {
		found[i] = a.Unmap()
		q := 0
		if found[i].Is4() != found[0].Is4() {
			q = 1
		}
		queues[q] = append(queues[q], found[i])
	}
	var out []netip.Addr
	for i := range found {
		for _, q := range queues {
			if i < len(q) {
				out = append(out, q[i])
			}
		}
	}
	return out, nil
}

// attempt is how an address that was tried ended.
type attempt struct {
	address netip.Addr
	conn    net.Conn
	err     error
}

// race connects to the first address that answers. An address is tried when the one
// before has failed, or did not answer within the head start (RFC 8305 §5).
func (e Endpoint) race(ctx context.Context, addresses []netip.Addr) (net.Conn, []attempt) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan attempt, len(addresses))
	var failed []attempt
	for next, open := 0, 0; len(failed) < len(addresses); {
		var patience <-chan time.Time
		if next < len(addresses) {
			go func(a netip.Addr) { ended <- e.try(ctx, a) }(addresses[next])
			next, open = next+1, open+1
			patience = time.After(headStart)
		}
		select {
		case a := <-ended:
			open--
			if a.err == nil {
				go hangUp(ended, open)
				return a.conn, nil
			}
			failed = append(failed, a)
		case <-patience:
		}
	}
	return nil, failed
}

func (e Endpoint) try(ctx context.Context, a netip.Addr) attempt {
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: time.Minute}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(e.Port)))
	return attempt{a, conn, err}
}

// hangUp closes the connections of those that came too late.
func hangUp(ended <-chan attempt, open int) {
	for range open {
		if a := <-ended; a.conn != nil {
			a.conn.Close()
		}
	}
}

// tried says of every address what came of it: "192.0.2.1: connection refused".
func tried(failed []attempt, known int) string {
	var all []string
	for _, a := range failed {
		all = append(all, fmt.Sprintf("%s: %s", a.address, fault.Escape(reason(a.err))))
	}
	if more := known - len(failed); more > 0 {
		all = append(all, fmt.Sprintf("%d more not tried", more))
	}
	return strings.Join(all, "; ")
}

// reason is an error of the network without the address, which is said already.
func reason(err error) string {
	var network net.Error
	var call *os.SyscallError
	var operation *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer"
	case errors.As(err, &call):
		return call.Err.Error()
	case errors.As(err, &operation):
		return operation.Err.Error()
	}
	return err.Error()
}

func (e Endpoint) unresolved(err error) error {
	return fault.New(fault.Temporary, "cannot resolve the name of %s: %w", e, err).
		WithHint("check the host name, and this machine's name server")
}

func (e Endpoint) dialError(cause error, text string) error {
	var dns *net.DNSError
	if errors.As(cause, &dns) {
		return e.unresolved(cause)
	}
	return &fault.Error{
		Code: fault.Temporary, Message: fmt.Sprintf("cannot connect to %s: %s", e, text), Err: cause,
		Hint: "check host and port, that the server is up, and that no firewall is in between",
	}
}
