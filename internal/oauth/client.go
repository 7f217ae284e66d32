package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/popferry/popferry/internal/fault"
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
}

// use returns a context that makes the library ask through c.
func (c *client) use(ctx context.Context) context.Context {
	c.ctx = ctx
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: c})
}

// RoundTrip implements http.RoundTripper.
func (c *client) RoundTrip(request *http.Request) (response *http.Response, err error) {
	defer func() { c.failure = err }()
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
