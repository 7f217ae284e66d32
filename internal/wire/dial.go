package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
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
	if e.Proxy != nil {
		return e.Proxy.dial(ctx, e)
	}
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
	if addresses = e.reachable(addresses); len(addresses) == 0 {
		return nil, fault.New(fault.Config, "%s has no address of the kind of %s", e, e.SourceAddress).
			WithHint("set source_address to an IPv6 address of this machine for a server with IPv6 only, else to " +
				"one with dots")
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

// reachable are the addresses of the same kind as the source address.
func (e Endpoint) reachable(addresses []netip.Addr) []netip.Addr {
	if !e.SourceAddress.IsValid() {
		return addresses
	}
	return slices.DeleteFunc(addresses, func(a netip.Addr) bool { return a.Is4() != e.SourceAddress.Is4() })
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
	conn, err := e.dialer()(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(e.Port)))
	return attempt{a, conn, err}
}

// dialer opens connections, from the source address if there is one.
func (e Endpoint) dialer() DialFunc {
	if e.Dial != nil {
		return e.Dial
	}
	dialer := &net.Dialer{KeepAlive: time.Minute}
	if e.SourceAddress.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(e.SourceAddress, 0))
	}
	return dialer.DialContext
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
	if e.SourceAddress.IsValid() && errors.Is(cause, syscall.EADDRNOTAVAIL) {
		return fault.New(fault.Config, "cannot connect to %s from %s: %w", e, e.SourceAddress, cause).
			WithHint("check source_address: it must be an address of this machine")
	}
	return &fault.Error{
		Code: fault.Temporary, Message: fmt.Sprintf("cannot connect to %s: %s", e, text), Err: cause,
		Hint: "check host and port, that the server is up, and that no firewall is in between",
	}
}
