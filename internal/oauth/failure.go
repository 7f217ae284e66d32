package oauth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

// failure says why a request failed. The library's own words are not passed on: they
// hold what the provider sent.
func (r *request) failure(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	var known *fault.Error
	switch {
	case ctx.Err() != nil && !errors.As(err, &refused):
		return fault.Stopped("get a token from %s: %w", r.provider, ctx.Err())
	case errors.As(r.client.failure, &known):
		return known
	case r.client.failure != nil:
		return r.unreachable(r.client.failure)
	case errors.As(err, &refused):
		return r.refused(refused.Response, refused.Body)
	}
	return r.nonsense("gave something that is no token")
}

func (r *request) nonsense(what string) *fault.Error {
	return fault.New(fault.Protocol, "%s %s", r.provider, what).
		WithHint("check that token_url is its token endpoint (RFC 6749 §5.1); else ask its operator")
}

// unreachable tells the usual causes apart.
func (r *request) unreachable(err error) *fault.Error {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var operation *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &verify):
		return fault.New(fault.TLS, "%s: certificate not trusted: %s", r.provider, fault.Escape(verify.Err.Error())).
			WithHint("check the address and this machine's clock and CA certificates; a proxy may be in between")
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch),
		errors.As(err, &operation) && operation.Op == "remote error": // an alert
		return fault.New(fault.TLS, "%s does not speak TLS as we do: %s", r.provider, fault.Escape(err.Error())).
			WithHint("check the address; popferry needs TLS 1.2 or later")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Temporary, "%s did not answer within %s", r.provider, fault.Span(requestTime)).
			WithHint("try again later; check the network, and HTTPS_PROXY if a proxy is needed")
	case errors.As(err, &dns):
		return fault.New(fault.Temporary, "cannot resolve the name of %s", r.provider).
			WithHint("check the address, and this machine's name server")
	}
	return fault.New(fault.Temporary, "cannot reach %s: %s", r.provider, fault.Escape(fault.Words(err))).
		WithHint("check the network, and HTTPS_PROXY if a proxy is needed; then try again")
}

// refusal is an error answer (RFC 6749 §5.2). Codes are Microsoft's.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
}

// refused reads an error answer.
func (r *request) refused(response *http.Response, body []byte) *fault.Error {
	var answer refusal
	if json.Unmarshal(body, &answer) != nil {
		answer = refusal{}
	}
	status := response.StatusCode
	if status >= 500 || status == http.StatusTooManyRequests || temporary(answer.Error) {
		return fault.New(fault.Temporary, "%s is out of order: %s", r.provider, r.words(answer, status)).
			WithAfter(retryAfterOf(response)).WithHint("check the provider's status page; if all is well there, try again later")
	}
	code, hint := r.advice(answer)
	return fault.New(code, "%s refuses: %s", r.provider, r.words(answer, status)).WithHint("%s", hint)
}

func temporary(word string) bool {
	return slices.Contains([]string{"temporarily_unavailable", "server_error"}, word)
}

// retryAfterOf is RFC 9110 §10.2.3, in its form of seconds.
func retryAfterOf(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > int(time.Hour/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// words is what the provider said: its first line, which is what is for people.
func (r *request) words(answer refusal, status int) string {
	if answer.Error == "" {
		return "status " + strconv.Itoa(status)
	}
	text := r.show(answer.Error)
	if line, _, _ := strings.Cut(strings.TrimSpace(answer.Description), "\n"); line != "" {
		text += " (" + r.show(strings.TrimSpace(line)) + ")"
	}
	return text
}

// show makes text of the provider's safe to show: it may repeat what it was sent.
func (r *request) show(text string) string {
	for _, hidden := range r.client.sent {
		text = hidden.Hide(text, r.username)
		if escaped := url.QueryEscape(hidden.Reveal()); escaped != "" {
			text = strings.ReplaceAll(text, escaped, "***")
		}
	}
	return fault.Escape(text)
}

// advice is what a refusal means and what to do about it.
func (r *request) advice(answer refusal) (fault.Code, string) {
	if known, ok := knownIn(answer.Error+" "+answer.Description, answer.Codes...); ok {
		return known.class, strings.ReplaceAll(known.hint, "LOGIN", r.loginCommand())
	}
	switch answer.Error {
	case "invalid_grant", "interaction_required", "login_required", "consent_required":
		return fault.Credentials, r.grantHint()
	case "access_denied", "authorization_declined":
		return fault.Credentials, "the request was declined, or an administrator has to permit it; again with " + r.loginCommand()
	case "invalid_client":
		return fault.Credentials, "check client_id and client_secret; secrets of applications expire"
	case "unauthorized_client":
		return fault.Credentials, r.unauthorizedHint()
	case "invalid_scope":
		return fault.Config, "check scopes, and that the application has these permissions"
	case "expired_token", "code_expired", "bad_verification_code":
		return fault.Credentials, "the code was not entered in time; again with " + r.loginCommand()
	}
	return fault.Config, "check the addresses, client_id and flow in oauth against the provider's manual"
}

func (r *request) grantHint() string {
	if r.oauth.Flow == plan.ServiceAccount {
		return "check that username is a mailbox of your domain, and this machine's clock"
	}
	if r.oauth.Flow == plan.ClientCredentials {
		return "check client_id and client_secret, and this machine's clock"
	}
	return "the token expired or was revoked, for example with a new password; sign in again: " + r.loginCommand()
}

func (r *request) unauthorizedHint() string {
	if r.oauth.Flow == plan.ServiceAccount {
		return "in the Google Admin console, under Security, API controls, Domain-wide delegation, " +
			"add the service account's client ID with the scope " + strings.Join(r.oauth.Scopes, ",")
	}
	return "the application may not use flow: " + string(r.oauth.Flow) + "; permit it where it is registered"
}

// loginCommand is what to type.
func (r *request) loginCommand() string {
	name := r.account
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@"
	if strings.Trim(name, plain) != "" {
		name = "'" + strings.ReplaceAll(fault.Escape(name), "'", `'\''`) + "'"
	}
	return fmt.Sprintf("popferry login %s", name)
}
