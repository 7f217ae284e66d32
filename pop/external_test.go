package pop_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// hangUp is the answer of a desk that ends the connection.
const hangUp = "hang up"

// secureDesk serves a script to each connection in TLS, and asks for a certificate.
func secureDesk(t *testing.T, d *desk) pop.Options {
	t.Helper()
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := pair.Server()
	config.ClientAuth = tls.RequestClientCert
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	o := pop.Options{Endpoint: at(t, listener.Addr().String(), wire.Implicit, files.CA), Username: "alice",
		Password: secret.New("open sesame")}
	o.Endpoint.Certificate = certificateOf(t, pair, "alice")
	return o
}

// TestExternalRefusedForElse: what a refusal says of something else than who logs in is not laid
// to the certificate, at once or at the password after it.
func TestExternalRefusedForElse(t *testing.T) {
	for reply, want := range map[string]struct {
		code fault.Code
		says string
	}{
		"-ERR mailbox full":             {fault.Refused, "mailbox full"},
		"-ERR [SYS/PERM] no such store": {fault.Refused, "no such store"},
		"-ERR mailbox locked":           {fault.Temporary, "mailbox locked"},
		"-ERR [IN-USE] busy":            {fault.Temporary, "password is right"},
		"-ERR [SYS/TEMP] database":      {fault.Temporary, "database"},
		hangUp:                          {fault.Temporary, "closed the connection"},
	} {
		for _, before := range []bool{false, true} {
			d := &desk{sasl: "EXTERNAL PLAIN", replies: map[string][]string{"AUTH": {reply}}}
			if before {
				d.replies["AUTH"] = []string{"-ERR [AUTH] not you", reply}
			}
			o := secureDesk(t, d)
			_, err := pop.Dial(t.Context(), o)
			wantFault(t, err, want.code, want.says)
			if said := err.Error() + fault.HintOf(err); strings.Contains(said, "certificate") || strings.Contains(said, "tls_cert") {
				t.Errorf("%q, after a refusal: %v: %s", reply, before, said)
			}
			if n := fault.RefusalsOf(err); n != map[bool]int{true: 1}[before] {
				t.Errorf("%q: %d logins were refused", reply, n)
			}
			ways := []string{"AUTH EXTERNAL"}
			if before {
				ways = append(ways, "AUTH PLAIN")
			}
			if got := verbs(d.received()); !slices.Equal(got, ways) {
				t.Errorf("%q: sent %q", reply, got)
			}
		}
	}
}

// verbs are the ways to log in that were tried.
func verbs(lines []string) (list []string) {
	for _, line := range lines {
		verb, rest, _ := strings.Cut(line, " ")
		mechanism, _, _ := strings.Cut(rest, " ")
		list = append(list, verb+" "+mechanism)
	}
	return list
}
