package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/program"
	"github.com/popferry/popferry/internal/secret"
)

// client follows no redirects: the address may hold a secret, and goes to nobody else.
var client = &http.Client{
	Timeout:       each,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute},
}

// webhook posts JSON.
func webhook(address secret.Value) func(context.Context, item) error {
	return func(ctx context.Context, n item) error {
		text, err := encode(n.News)
		if err != nil {
			return err
		}
		return call(ctx, http.MethodPost, address, text)
	}
}

// ping calls an address.
func ping(address secret.Value) func(context.Context) error {
	return func(ctx context.Context) error { return call(ctx, http.MethodGet, address, nil) }
}

// call makes a request. Errors never show the address.
func call(ctx context.Context, method string, address secret.Value, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, address.Reveal(), bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Config, "the web address can't be used").WithHint("check how it is written")
	}
	request.Header.Set("User-Agent", "popferry")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return fault.New(fault.Temporary, "%s did not answer: %s", fault.Escape(request.URL.Hostname()), cause(err)).
			WithHint("check that the web server is up, and its name")
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	switch code := response.StatusCode; {
	case code < 300:
		return nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return fault.New(fault.Temporary, "%s answered %d", fault.Escape(request.URL.Hostname()), code).
			WithHint("check that the web server is well")
	default:
		return fault.New(fault.Refused, "%s answered %d", fault.Escape(request.URL.Hostname()), code).
			WithHint("check the address: it may have been taken back, or want another form")
	}
}

// cause is why a request failed, without the address that http puts in front.
func cause(err error) string {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return "no answer within " + fault.Span(each)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if errors.Is(err, io.EOF) {
		return "it closed the connection"
	}
	return fault.Escape(fault.Words(err))
}

// command starts a program, with no shell, and gives it JSON as its input.
func command(argv []string) func(context.Context, item) error {
	return func(ctx context.Context, n item) error {
		text, err := encode(n.News)
		if err != nil {
			return err
		}
		run := exec.CommandContext(ctx, argv[0], argv[1:]...)
		run.Stdin = bytes.NewReader(append(text, '\n'))
		run.WaitDelay = time.Second // for those that it has started, if it ends well
		program.InGroup(run)
		var said tail
		run.Stdout, run.Stderr = &said, &said
		// ErrWaitDelay: it succeeded, and left something at work that may still speak.
		if err := run.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return fault.New(fault.Temporary, "%s: %s%s", fault.Escape(argv[0]), cause(err), said.quoted()).
				WithHint("check that the command works for the user who runs popferry")
		}
		return nil
	}
}

// tail keeps the first octets of what a program says.
type tail struct{ bytes.Buffer }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p[:min(len(p), 1024-min(t.Len(), 1024))])
	return len(p), nil
}

func (t *tail) quoted() string {
	if t.Len() == 0 {
		return ""
	}
	return fmt.Sprintf("; it said: %s", fault.Escape(string(bytes.TrimSpace(t.Bytes()))))
}
