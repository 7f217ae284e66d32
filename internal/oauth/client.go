package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
)

const (
	// requestTime bounds one request, from the connection to the end of the answer.
	requestTime = 30 * time.Second
	// maxAnswer bounds an answer, in octets.
	maxAnswer = 64 << 10
)

func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxAnswer,
	}
}

// client makes the requests of the library under our limits. It reads the whole answer
// within them, so that the library meets nothing that is endless, late, or no JSON.
type client struct {
	transport http.RoundTripper
	ctx       context.Context // the library forgets it in some requests
	failure   error           // of the last request: the library flattens some to text
	sent      []secret.Value  // the secrets in the last request: its answer may repeat them
}

// confidential are the parameters that nobody but the provider may see (RFC 6749 §10,
// RFC 7523 §2.1, RFC 7636 §4.5, RFC 8628 §3.4).
var confidential = []string{"client_secret", "refresh_token", "assertion", "code", "code_verifier", "device_code"}

// remember notes the secrets in a request.
func (c *client) remember(request *http.Request) error {
	body, err := request.GetBody()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return err
	}
	c.sent = nil
	for _, name := range confidential {
		c.sent = append(c.sent, secret.New(form.Get(name)))
	}
	return nil
}

// use returns a context that makes the library ask through c.
func (c *client) use(ctx context.Context) context.Context {
	c.ctx = ctx
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: c})
}

// RoundTrip implements http.RoundTripper.
func (c *client) RoundTrip(request *http.Request) (response *http.Response, err error) {
	defer func() { c.failure = err }()
	if err := c.remember(request); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, requestTime)
	defer cancel()
	response, err = c.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if err := acceptable(request.URL.Host, response, body); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// acceptable refuses answers that the library must not see. Failures are for
// [request.failure], whatever their form.
func acceptable(host string, response *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	var object map[string]json.RawMessage
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		to := ""
		if location, err := response.Location(); err == nil {
			to = " to " + fault.Escape(location.Host)
		}
		return fault.New(fault.Config, "OAuth provider %s redirects%s", fault.Escape(host), to).
			WithHint("no secret follows a redirect; set token_url, auth_url and device_url to the right addresses")
	case status >= 400:
		return nil
	case len(body) > maxAnswer:
		return fault.New(fault.Protocol, "OAuth provider %s answers with more than %d bytes", fault.Escape(host), maxAnswer).
			WithHint("check that the addresses in oauth are those of its token and device endpoints")
	case kind != "application/json" || json.Unmarshal(body, &object) != nil || object == nil:
		return fault.New(fault.Protocol, "OAuth provider %s answers with no JSON object (%s)", fault.Escape(host),
			fault.Escape(kind)).
			WithHint("check that the addresses in oauth are those of its token and device endpoints, " +
				"and that no proxy answers in its place")
	}
	return nil
}
