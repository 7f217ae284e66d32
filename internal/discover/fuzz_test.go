package discover_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"

	"github.com/popferry/popferry/internal/discover"
	"github.com/popferry/popferry/plan"
)

// served is a web that answers everything with one text, and a DNS with one record.
type served struct{ text, target []byte }

func (s served) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(s.text))}, nil
}

func (s served) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", []*net.SRV{{Target: string(s.target), Port: 995}}, nil
}

func (served) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

var fuzzedHost = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)+$`)

// Whatever a web server and the DNS say, what is found is the name of a host, and an
// accounts.yaml with it means what it should.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(config), []byte("pop.example.org."))
	f.Add([]byte(`<clientConfig><emailProvider><incomingServer type="imap"><hostname>x`), []byte("."))
	f.Add([]byte("<!DOCTYPE x [<!ENTITY e 'x'>]><clientConfig>&e;</clientConfig>"), []byte("\x1b[31m"))
	away := func(context.Context, string, string) (net.Conn, error) { return nil, &net.DNSError{IsTimeout: true} }
	f.Fuzz(func(t *testing.T, text, target []byte) {
		s := served{text, target}
		finder := discover.Finder{Resolver: s, Transport: s, Dial: away}
		drafts, err := finder.Drafts(t.Context(), discover.Wish{Addresses: []string{"alice@example.org"}, To: "example.net"})
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := discover.Write(&b, drafts); err != nil {
			t.Fatal(err)
		}
		parsed, err := plan.Parse("accounts.yaml", b.Bytes())
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		a, d := parsed.Accounts[0], drafts[0]
		if !fuzzedHost.MatchString(a.Source.Host) || a.Source.Host != d.Source.Server.Host ||
			a.Source.Username != d.Source.Username || a.Destination.Host != d.Destination.Server.Host ||
			a.Keep.Delete || len(parsed.Accounts) != 1 {
			t.Errorf("%+v became %+v", d, a)
		}
	})
}
