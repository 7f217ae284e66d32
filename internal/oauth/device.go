package oauth

import (
	"context"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

const (
	// usualOffer and longestOffer bound the time to enter a code.
	usualOffer   = 15 * time.Minute
	longestOffer = time.Hour
	// usualInterval and longestInterval are the time between two questions, in seconds
	// (RFC 8628 §3.2).
	usualInterval   = 5
	longestInterval = 60
)

// device is RFC 8628: the person enters a code in any browser, and the provider is
// asked until that is done.
func (r *request) device(ctx context.Context, show func(Prompt)) (grant, error) {
	offer, err := r.config().DeviceAuth(r.client.use(ctx))
	if err != nil {
		return grant{}, r.failure(ctx, err)
	}
	if err := r.sane(offer); err != nil {
		return grant{}, err
	}
	show(Prompt{URL: fault.Escape(offer.VerificationURI), Code: fault.Escape(offer.UserCode), Until: offer.Expiry})
	for {
		g, err := r.do(ctx, func(ctx context.Context) (*oauth2.Token, error) {
			return r.config().DeviceAccessToken(ctx, offer)
		})
		switch {
		case err == nil, ctx.Err() != nil:
			return g, err
		case !time.Now().Before(offer.Expiry):
			return g, r.tooLate()
		case fault.CodeOf(err) != fault.Temporary:
			return g, err
		}
		// Whom we can't reach we ask less often (RFC 8628 §3.5).
		offer.Interval = min(2*max(offer.Interval, usualInterval), longestInterval)
	}
}

func (r *request) tooLate() error {
	return fault.New(fault.Credentials, "%s: the code was not entered in time", r.provider).
		WithHint("again with %s", r.loginCommand())
}

// sane refuses an offer that nobody can follow, and brings its times into bounds.
func (r *request) sane(offer *oauth2.DeviceAuthResponse) error {
	u, err := url.Parse(offer.VerificationURI)
	if err != nil || offer.DeviceCode == "" || offer.UserCode == "" || u.Host == "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !(wire.Endpoint{Host: u.Hostname()}).Loopback()) {
		return fault.New(fault.Protocol, "%s offers no code to enter at a safe address", r.provider).
			WithHint("check that device_url is its device authorization endpoint (RFC 8628 §3.2)")
	}
	if left := time.Until(offer.Expiry); left <= 0 || left > longestOffer {
		offer.Expiry = time.Now().Add(usualOffer)
	}
	if offer.Interval <= 0 {
		offer.Interval = usualInterval
	}
	offer.Interval = min(offer.Interval, longestInterval)
	return nil
}
