package oauth

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/plan"
)

// tries is how often a request is made that fails for a temporary reason.
const tries = 3

// grant is what a provider gave.
type grant struct {
	access  secret.Value
	refresh string
	life    time.Duration // 0 if it did not say
	// refreshLife is that of the refresh token, by which somebody has to sign in again;
	// 0 if it did not say.
	refreshLife time.Duration
}

// request is one need for a token, and what its errors need to know.
type request struct {
	oauth    plan.OAuth
	username string
	account  string
	provider string
	pause    time.Duration
	client   *client
}

func (s *source) request(account string) *request {
	return &request{oauth: s.oauth, username: s.username, account: account, provider: s.provider(),
		pause: s.keeper.options.Pause, client: &client{transport: s.keeper.options.Transport}}
}

// config is the request in the library's words.
func (r *request) config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: r.oauth.ClientID, ClientSecret: r.oauth.Secret.Reveal(), Scopes: r.oauth.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: r.oauth.AuthURL, TokenURL: r.oauth.TokenURL,
			DeviceAuthURL: r.oauth.DeviceURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// refresh is RFC 6749 §6.
func (r *request) refresh(ctx context.Context, token string) (grant, error) {
	return r.do(ctx, func(ctx context.Context) (*oauth2.Token, error) {
		return r.config().TokenSource(ctx, &oauth2.Token{RefreshToken: token}).Token()
	})
}

// clientCredentials is RFC 6749 §4.4.
func (r *request) clientCredentials(ctx context.Context) (grant, error) {
	config := clientcredentials.Config{
		ClientID: r.oauth.ClientID, ClientSecret: r.oauth.Secret.Reveal(), Scopes: r.oauth.Scopes,
		TokenURL: r.oauth.TokenURL, AuthStyle: oauth2.AuthStyleInParams,
	}
	return r.do(ctx, config.Token)
}

// serviceAccount is RFC 7523 §2.1, for the mailbox's user.
func (r *request) serviceAccount(ctx context.Context) (grant, error) {
	key, err := readKey(r.oauth)
	if err != nil {
		return grant{}, err
	}
	config := jwt.Config{
		Email: key.Email, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.ID,
		Subject: r.username, Scopes: r.oauth.Scopes, TokenURL: r.oauth.TokenURL,
	}
	return r.do(ctx, func(ctx context.Context) (*oauth2.Token, error) { return config.TokenSource(ctx).Token() })
}

// do asks once and checks what comes.
func (r *request) do(ctx context.Context, ask func(context.Context) (*oauth2.Token, error)) (grant, error) {
	token, err := ask(r.client.use(ctx))
	if err != nil {
		return grant{}, r.failure(ctx, err)
	}
	return r.check(token)
}

// check refuses what no mail server could be given (RFC 6750 §2.1).
func (r *request) check(token *oauth2.Token) (grant, error) {
	if token.Type() != "Bearer" || !isToken(token.AccessToken) ||
		token.RefreshToken != "" && !isToken(token.RefreshToken) {
		return grant{}, r.nonsense("gave something that is no bearer token")
	}
	g := grant{access: secret.New(token.AccessToken), refresh: token.RefreshToken, refreshLife: refreshLife(token)}
	if !token.Expiry.IsZero() {
		g.life = time.Until(token.Expiry)
	}
	return g, nil
}

// longestSignIn is what no sign-in lasts; what is said to do so has no end.
const longestSignIn = 10 * 365 * 24 * time.Hour

// refreshLife reads what no RFC has and providers say all the same, in seconds.
func refreshLife(token *oauth2.Token) time.Duration {
	seconds, err := strconv.ParseFloat(fmt.Sprint(token.Extra("refresh_token_expires_in")), 64)
	if err != nil || !(seconds >= 1 && seconds < longestSignIn.Seconds()) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// repeat asks again after temporary failures.
func (r *request) repeat(ctx context.Context, ask func(context.Context) (grant, error)) (grant, error) {
	wait := &backoff.ExponentialBackOff{InitialInterval: r.pause, Multiplier: 3,
		RandomizationFactor: 0.5, MaxInterval: maxObeyed}
	return backoff.Retry(ctx, func() (grant, error) {
		g, err := ask(ctx)
		after := fault.AfterOf(err)
		switch {
		case err == nil:
			return g, nil
		case fault.CodeOf(err) != fault.Temporary, after > maxObeyed, ctx.Err() != nil:
			return grant{}, backoff.Permanent(err)
		case after > 0:
			return grant{}, &retryAfter{err, &backoff.RetryAfterError{Duration: after}}
		}
		return grant{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(tries))
}

// maxObeyed is the longest wait that a provider may ask for within a request.
const maxObeyed = 20 * time.Second

// retryAfter is an error with the wait that the provider asked for.
type retryAfter struct {
	error
	wait *backoff.RetryAfterError
}

func (r *retryAfter) Unwrap() []error { return []error{r.error, r.wait} }
