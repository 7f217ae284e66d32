package discover

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// quick bounds a look at a server.
var quick = wire.Limits{Dial: 8 * time.Second, Handshake: 8 * time.Second,
	Greeting: 8 * time.Second, Probe: time.Second, Idle: 8 * time.Second}

// maxReply bounds a reply, in octets; RFC 2449 §4 allows 512, IMAP capabilities are
// longer.
const maxReply = 8192

// probe connects to a server and looks whether it is one: it greets as the protocol
// does, and its certificate fits. Nothing is said that names anybody.
func (f Finder) probe(ctx context.Context, p Protocol, s Server) error {
	e := wire.Endpoint{Protocol: wire.Protocol(p), Host: s.Host, Port: s.Port, TLS: s.TLS,
		CAFile: f.CAFile, Limits: quick, Dial: f.Dial}
	c, err := e.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	greeting, err := c.Greeting(ctx, maxReply)
	if err != nil {
		return err
	}
	if !greets(p, string(greeting)) {
		return e.WrongServer(greeting)
	}
	if s.TLS != wire.STARTTLS {
		return nil
	}
	if err := askTLS(ctx, c, p); err != nil {
		return err
	}
	return c.StartTLS(ctx)
}

func greets(p Protocol, line string) bool {
	if p == POP3 { // RFC 1939 §4
		return strings.HasPrefix(line, "+OK")
	}
	return strings.HasPrefix(strings.ToUpper(line), "* OK") // RFC 9051 §7.1.1
}

// askTLS says STLS (RFC 2595 §4) or STARTTLS (RFC 9051 §6.2.1).
func askTLS(ctx context.Context, c *wire.Conn, p Protocol) error {
	defer c.Begin(ctx)()
	command, tag := "STLS", "+OK"
	if p == IMAP {
		command, tag = "a STARTTLS", "A OK"
	}
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return err
	}
	for range maxReplies {
		line, err := c.ReadLine(maxReply)
		if err != nil {
			return err
		}
		if p == IMAP && strings.HasPrefix(string(line), "* ") {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(string(line)), tag) {
			return nil
		}
		break
	}
	return fault.New(fault.TLS, "%s does not upgrade to TLS", c.Address()).
		WithHint("ask its operator for a server that speaks TLS")
}

// maxReplies bounds the untagged lines before the answer.
const maxReplies = 16

// candidates are names that mail servers often have, before a domain.
var candidates = map[Protocol][]string{
	POP3: {"pop.", "pop3.", "mail.", ""},
	IMAP: {"imap.", "mail.", ""},
}

// guess tries likely names. Only one that answers, with a certificate for its name,
// is taken; small hosters often have one for another name only, which is worth telling.
func (s *search) guess(ctx context.Context) {
	for _, p := range s.open() {
		tries := s.guesses(p)
		errs := make([]error, len(tries))
		var all sync.WaitGroup
		for i := range tries {
			all.Go(func() { errs[i] = s.probe(ctx, p, tries[i]) })
		}
		all.Wait()
		for i, err := range errs {
			if err == nil {
				s.servers[p] = tries[i]
				break
			}
			if s.shunned[p] == nil && fault.CodeOf(err) == fault.TLS {
				s.shunned[p] = err
			}
		}
	}
}

// guesses are in the order of preference: TLS from the first byte comes first.
func (s *search) guesses(p Protocol) (list []Server) {
	for _, mode := range services[p] {
		for _, prefix := range candidates[p] {
			host := prefix + s.Domain
			list = append(list, Server{Host: host, Port: ports[p][mode.tls], TLS: mode.tls,
				user:   localPart + "@" + s.Domain,
				Origin: fmt.Sprintf("a guess: %s answered as %s", host, p)})
		}
	}
	return list
}

// ports are the usual ones (RFC 8314 §3, RFC 6409 §3.1).
var ports = map[Protocol]map[wire.TLSMode]int{
	POP3: {wire.Implicit: 995, wire.STARTTLS: 110},
	IMAP: {wire.Implicit: 993, wire.STARTTLS: 143},
	SMTP: {wire.Implicit: 465, wire.STARTTLS: 587},
}
