package pop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// over gives options that reach the server through a pipe.
func over(server *popd.Server) pop.Options {
	return pop.Options{
		Endpoint: wire.Endpoint{
			Host: "127.0.0.1", Port: 110, TLS: wire.None, Dial: server.Dial,
		},
		Username: "alice",
		Password: secret.New("open sesame"),
	}
}

// overTCP gives options that reach the server through the loopback interface: TLS
// may have both sides write at once, which a pipe does not allow.
func overTCP(t testing.TB, server *popd.Server) pop.Options {
	t.Helper()
	address, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	options := over(server)
	options.Endpoint.Port, options.Endpoint.Dial = address.Port, nil
	return options
}

// serve starts a server that is closed with the test.
func serve(t testing.TB, o popd.Options, messages ...string) *popd.Server {
	t.Helper()
	raw := make([][]byte, len(messages))
	for i, text := range messages {
		raw[i] = []byte(text)
	}
	server := popd.New(o, raw...)
	t.Cleanup(func() { server.Close() })
	return server
}

// dial logs in or fails the test.
func dial(t testing.TB, o pop.Options) *pop.Maildrop {
	t.Helper()
	m, err := pop.Dial(t.Context(), o)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func list(t testing.TB, m *pop.Maildrop) []pop.Entry {
	t.Helper()
	entries, err := m.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return entries
}

// fetched is what a callback was given.
type fetched struct {
	number int
	text   string
	err    error
}

func retrieve(ctx context.Context, m *pop.Maildrop, entries []pop.Entry) ([]fetched, error) {
	var got []fetched
	err := m.Retrieve(ctx, entries, collect(&got))
	return got, err
}

// retrieveUntil has enough after so many messages.
func retrieveUntil(ctx context.Context, m *pop.Maildrop, entries []pop.Entry, enough int) ([]fetched, error) {
	var got []fetched
	each := collect(&got)
	err := m.Retrieve(ctx, entries, func(e pop.Entry, body io.Reader, err error) error {
		if err := each(e, body, err); err != nil || len(got) < enough {
			return err
		}
		return pop.ErrEnough
	})
	return got, err
}

// collect reads each body whole; what can't be read is not collected.
func collect(got *[]fetched) func(pop.Entry, io.Reader, error) error {
	return func(e pop.Entry, body io.Reader, err error) error {
		if err != nil {
			*got = append(*got, fetched{e.Number, "", err})
			return nil
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		*got = append(*got, fetched{e.Number, string(text), nil})
		return nil
	}
}

// tolerate notes errors that a body ends in, and goes on.
func tolerate(each callback, got *[]fetched) callback {
	return func(e pop.Entry, body io.Reader, err error) error {
		if err := each(e, body, err); err != nil {
			*got = append(*got, fetched{e.Number, "", err})
		}
		return nil
	}
}

type callback = func(pop.Entry, io.Reader, error) error

// wantFault checks the exit code of an error and words of its message.
func wantFault(t testing.TB, err error, code fault.Code, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want code %d with %q", code, words)
	}
	if got := fault.CodeOf(err); got != code {
		t.Errorf("error %q has code %d, want %d", err, got, code)
	}
	var shown *fault.Error
	if !errors.As(err, &shown) {
		t.Fatalf("error %q is no fault.Error", err)
	}
	if fault.HintOf(err) == "" {
		t.Errorf("error %q has no hint", err)
	}
	for _, word := range words {
		if text := shown.Message + "\n" + shown.Hint; !strings.Contains(text, word) {
			t.Errorf("error %q does not say %q", text, word)
		}
	}
	if strings.Contains(err.Error(), "sesame") {
		t.Errorf("error %q shows the password", err)
	}
}

// replies answers commands with fixed text, each time, and leaves the rest alone.
func replies(texts map[string]string) func(string, int) ([]byte, bool) {
	return func(cmd string, _ int) ([]byte, bool) {
		text, ok := texts[cmd]
		return []byte(text), ok
	}
}

// say is a server that gives one command the same reply each time.
func say(cmd, reply string) popd.Options {
	return popd.Options{Reply: replies(map[string]string{cmd: reply})}
}

// newPair makes certificates, also in files.
func newPair(t testing.TB) (*certs.Pair, certs.Files) {
	t.Helper()
	pair, err := certs.New(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := pair.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return pair, files
}

// certificate makes a server configuration for 127.0.0.1 and a file with its CA.
func certificate(t testing.TB) (*tls.Config, string) {
	t.Helper()
	pair, files := newPair(t)
	return pair.Server(), files.CA
}

// secured gives a server configuration and the options to match.
func secured(t testing.TB, mode popd.Mode, o popd.Options, messages ...string) (
	*popd.Server, pop.Options,
) {
	t.Helper()
	config, ca := certificate(t)
	o.Mode, o.TLS = mode, config
	server := serve(t, o, messages...)
	options := overTCP(t, server)
	options.Endpoint.CAFile = ca
	options.Endpoint.TLS = map[popd.Mode]wire.TLSMode{
		popd.Plain: wire.None, popd.STLS: wire.STARTTLS, popd.Implicit: wire.Implicit,
	}[mode]
	return server, options
}

func hidden(text string) secret.Value { return secret.New(text) }
