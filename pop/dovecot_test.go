package pop_test

import (
	"bytes"
	"net"
	"strconv"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// The real server, on both ports, with every message of the corpus.
func TestDovecot(t *testing.T) {
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(dovecot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	mail := append(corpus.Hard(), corpus.Ordinary(100, 1)...)
	for name, test := range map[string]struct {
		address string
		mode    wire.TLSMode
	}{"implicit": {server.POP3S, wire.Implicit}, "starttls": {server.POP3, wire.STARTTLS}} {
		t.Run(name, func(t *testing.T) {
			for _, m := range mail {
				if err := server.Deliver(name, m.Raw); err != nil {
					t.Fatal(err)
				}
			}
			rideDovecot(t, server, name, test.address, test.mode, mail)
		})
	}
}

func rideDovecot(t *testing.T, server *dovecot.Server, user, address string, mode wire.TLSMode,
	mail []corpus.Mail,
) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	m := dial(t, pop.Options{
		Endpoint: wire.Endpoint{Host: host, Port: number, TLS: mode, CAFile: server.Files.CA},
		Username: user, Password: secret.New(server.Password),
	})
	entries := list(t, m)
	got, err := retrieve(t.Context(), m, entries)
	if err != nil || len(got) != len(mail) {
		t.Fatalf("%d of %d messages, %v", len(got), len(mail), err)
	}
	for i, g := range got {
		want := corpus.Canonical(mail[i].Raw)
		if len(want) == 0 {
			want = []byte("\r\n") // Dovecot ends even the line that is not there
		}
		if g.err != nil || !bytes.Equal(corpus.Canonical([]byte(g.text)), want) {
			t.Errorf("%s: error %v, %d octets, want %d", mail[i].Name, g.err, len(g.text), len(want))
		}
	}
	deleteAll(t, m, entries[1:])
	if err := m.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := server.Maildrop(user); err != nil || len(left) != 1 {
		t.Errorf("%d messages are left, %v", len(left), err)
	}
}
