package discover_test

import (
	"context"
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/popferry/popferry/internal/mailtest/imapd"
)

// nameServer answers from records by name and type, over loopback, to Go's own
// resolver.
func nameServer(t *testing.T, records map[string][]dnsmessage.ResourceBody) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := answer(query[:n], records); answer != nil {
				socket.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

func answer(query []byte, records map[string][]dnsmessage.ResourceBody) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	for _, body := range records[q.Type.String()+" "+q.Name.String()] {
		m.Answers = append(m.Answers, dnsmessage.Resource{Body: body,
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}})
	}
	if len(m.Answers) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// What stands in the other tests for Go's resolver behaves as that does.
func TestGoResolver(t *testing.T) {
	name := dnsmessage.MustNewName
	w := newWorld(t, "in.example.org")
	w.imap("in.example.org:993", imapd.Implicit)
	f := w.finder()
	f.Resolver = nameServer(t, map[string][]dnsmessage.ResourceBody{
		"TypeSRV _pop3s._tcp.example.org.": {&dnsmessage.SRVResource{Target: name(".")}},
		"TypeSRV _imaps._tcp.example.org.": {
			&dnsmessage.SRVResource{Priority: 20, Port: 1, Target: name("late.example.org.")},
			&dnsmessage.SRVResource{Priority: 10, Port: 993, Target: name("IN.example.org.")}},
		"TypeMX example.net.": {&dnsmessage.MXResource{Pref: 10, MX: name("mx.zoho.eu.")}},
	})
	found := w.find(f, "alice@example.org", pop3, imap)
	is(t, found, imap, "alice@example.org", "in.example.org:993 implicit alice@example.org")
	if text := found.Missing(pop3).Error(); text != "no POP3 server for example.org: its SRV record says that there is none" {
		t.Error(text)
	}
	is(t, w.find(f, "alice@example.net", imap), imap, "alice@example.net", "imap.zoho.eu:993 implicit alice@example.net")
}
