package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/oauth"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// rule says which errors mean a topic. All that is set has to fit; of texts and
// responses one does. Texts are in lower case, and are those of servers and of our
// own errors: what they lead to is words for a person, never an action.
type rule struct {
	topic     string
	protocol  wire.Protocol
	codes     []fault.Code
	responses []string
	texts     []string
	numbers   []int // Microsoft's, behind AADSTS
	is        func(error) bool
	login     func(plan.Endpoint) bool
	hint      bool // what the error says to check counts for more than what the topic says
}

// signingIn are the classes that a refused login has.
var signingIn = []fault.Code{fault.Credentials, fault.Refused, fault.Temporary, fault.Protocol, fault.TLS}

// oauthProvider is in the errors about a server that gives tokens.
const oauthProvider = "oauth provider"

// rules are in order: the first that fits counts.
var rules = []rule{
	// What stands in front of the network.
	{topic: "proxy", texts: []string{"cannot connect to the proxy", "does not connect to"}, hint: true},
	{topic: "source-address", codes: []fault.Code{fault.Config}, texts: []string{"no address of the kind of"}},
	{topic: "source-address", is: func(err error) bool { return errors.Is(err, syscall.EADDRNOTAVAIL) }},

	// Who gives the tokens is another server, with troubles of its own.
	{topic: "oauth-provider", codes: []fault.Code{fault.Temporary, fault.TLS, fault.Protocol, fault.Config},
		texts: []string{oauthProvider}},
	{topic: "not-signed-in", texts: []string{"no token for " + oauthProvider}},
	// A token that nobody is asked for, as it can't be taken from where it is kept.
	{topic: "open-to-others", codes: []fault.Code{fault.Credentials}, texts: []string{"is open to other users"}, hint: true},
	{topic: "token-unreadable", codes: []fault.Code{fault.State, fault.Config}, texts: []string{"the token in ",
		"read the token: ", "store the token: ", "lock the token: ", "a place for the token: ", "keyring cannot be used"},
		hint: true},
	// A number says more than the word that it comes with: invalid_grant stands before all.
	{topic: "device-approval", numbers: []int{50097, 50129, 50131, 53000, 53001, 53003, 530003}},
	{topic: "token-expired", numbers: []int{50173, 70000, 70008, 70043, 700082}},
	{topic: "locked-out", numbers: []int{50053}},
	{topic: "password-expired", numbers: []int{50055, 50144}},
	{topic: "account-disabled", numbers: []int{50057}},
	{topic: "login-refused", numbers: []int{50126}},
	{topic: "wrong-tenant", numbers: []int{50020, 50034, 500341, 90072}},
	{topic: "wrong-tenant", texts: []string{"org_internal"}},
	{topic: "modern-auth", numbers: []int{50072, 50074, 50076, 50078, 50079, 50105, 50158, 65001, 65004, 90094}},
	{topic: "modern-auth", texts: []string{"admin_policy_enforced"}},
	{topic: "oauth-provider", numbers: []int{50194, 70011, 90002, 500011, 500113, 700016, 900023, 7000112, 7000215,
		7000218, 7000222, 7000229}},
	{topic: "oauth-provider", texts: []string{"invalid_client", "unauthorized_client", "invalid_scope", "deleted_client"}},
	{topic: "oauth-provider", texts: []string{"invalid_grant"}, login: nobodySignsIn, hint: true},

	// The network and TLS, by type.
	{topic: "unknown-host", is: func(err error) bool {
		dns, ok := as[*net.DNSError](err)
		return ok && dns.IsNotFound
	}},
	{topic: "dns", is: func(err error) bool { _, ok := as[*net.DNSError](err); return ok }},
	{topic: "connection-refused", is: func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
	{topic: "unreachable", is: func(err error) bool {
		return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
	}},
	{topic: "timeout", codes: []fault.Code{fault.Temporary}, texts: []string{"cannot connect to"}, is: isTimeout},
	{topic: "certificate-not-yet-valid", is: isNotYetValid},
	{topic: "certificate-expired", is: func(err error) bool {
		invalid, ok := as[x509.CertificateInvalidError](err)
		return ok && invalid.Reason == x509.Expired
	}},
	{topic: "certificate-nameless", is: isNameless},
	{topic: "certificate-name", is: func(err error) bool { _, ok := as[x509.HostnameError](err); return ok }},
	{topic: "self-signed", is: isSelfSigned},
	// What other programs say of certificates is asked about, too: OpenSSL's "certificate verify
	// failed" comes with the reason behind it.
	{topic: "certificate-not-yet-valid", codes: []fault.Code{fault.TLS}, texts: []string{"certificate is not yet valid",
		"z is before 2", "0 is before 2"}}, // Go's, after a time in any zone
	{topic: "certificate-expired", codes: []fault.Code{fault.TLS}, texts: []string{"certificate has expired"}},
	{topic: "certificate-nameless", codes: []fault.Code{fault.TLS}, texts: []string{"legacy common name"}},
	{topic: "certificate-name", codes: []fault.Code{fault.TLS}, texts: []string{"hostname mismatch", "certificate is valid for"}},
	{topic: "certificate-unknown-ca", codes: []fault.Code{fault.TLS}, texts: []string{"certificate in certificate chain"}},
	{topic: "self-signed", codes: []fault.Code{fault.TLS}, texts: []string{"self-signed certificate", "self signed certificate"}},
	{topic: "certificate-unknown-ca", codes: []fault.Code{fault.TLS}, texts: []string{"certificate not trusted",
		"certificate verify failed", "certificate_verify_failed", "certificate verification failed", "verify certificate",
		"verify the certificate", "verify the first certificate"}},
	{topic: "client-certificate", texts: []string{"wants a client certificate", "refuses our certificate"}},
	{topic: "pin-changed", codes: []fault.Code{fault.TLS}, texts: []string{"not the pinned one"}},
	{topic: "old-tls", codes: []fault.Code{fault.TLS}, texts: []string{"protocol version", "handshake failure",
		"insufficient security", "unsupported protocol"}},
	{topic: "tls-not-spoken", is: func(err error) bool {
		_, ok := as[tls.RecordHeaderError](err)
		return ok && fault.CodeOf(err) == fault.Config
	}},
	{topic: "tls-expected", codes: []fault.Code{fault.Config}, texts: []string{"expects tls from the first byte"}},
	{topic: "tls-not-spoken", codes: []fault.Code{fault.Temporary}, texts: []string{"finish the tls handshake"}},
	{topic: "dropped", codes: []fault.Code{fault.Temporary}, texts: []string{"during the tls handshake"}},
	{topic: "starttls-missing", codes: []fault.Code{fault.TLS}, texts: []string{"not offered", "refused starttls"}},
	{topic: "plaintext-refused", codes: signingIn, responses: []string{"PRIVACYREQUIRED"}},
	{topic: "plaintext-refused", codes: []fault.Code{fault.TLS}, texts: []string{"no login that suits the credentials"}},
	{topic: "tampering", codes: []fault.Code{fault.TLS}, texts: []string{"in clear text after", "logged in already",
		"answers nothing we asked"}},
	{topic: "tampering", codes: []fault.Code{fault.Protocol}, texts: []string{"can't prove that it knows",
		"in the middle of a login"}},
	{topic: "old-tls", codes: []fault.Code{fault.TLS}}, // what else ends a handshake

	// What it is that answers.
	{topic: "web-server", codes: []fault.Code{fault.Protocol}, texts: []string{"is a web server"}},
	{topic: "smtp-port", codes: []fault.Code{fault.Protocol}, texts: []string{"is an smtp or ftp server"}},
	{topic: "other-protocol", codes: []fault.Code{fault.Protocol},
		texts: []string{"is an imap server, not", "is a pop3 server, not"}},
	{topic: "no-mail-server", codes: []fault.Code{fault.Protocol},
		texts: []string{"is an ssh server", "is not a pop3 server", "is not an imap server"}},
	{topic: "silent-server", codes: []fault.Code{fault.Temporary}, texts: []string{"said nothing for"}},

	// POP3's own obstacles to a login (RFC 2449 §8.1). Other refusals have "locked"
	// in them, too.
	{topic: "maildrop-locked", protocol: wire.POP3, responses: []string{"IN-USE"}},
	{topic: "login-delay", protocol: wire.POP3, responses: []string{"LOGIN-DELAY"}},
	{topic: "maildrop-locked", protocol: wire.POP3, codes: []fault.Code{fault.Temporary},
		texts: []string{"maildrop", "mailbox is locked", "mailbox locked", "mailbox in use", "already locked",
			"lock on mailbox", "lock busy", "unable to lock", "not lock", "can't lock", "failed to lock", "mailbox is busy",
			"mailbox busy", "another pop", "already logged in", "active session"}},
	{topic: "login-delay", protocol: wire.POP3, codes: []fault.Code{fault.Temporary},
		texts: []string{"minimum time", "login interval", "login frequency", "wait between", "logins too frequent",
			"too often"}},
	{topic: "listing-refused", protocol: wire.POP3, texts: []string{"list refused", "uidl refused", "unusable listing"}},
	{topic: "listing-refused", protocol: wire.POP3, codes: []fault.Code{fault.Refused}, is: isUnreadable},

	// What the server has no login for.
	{topic: "wrong-auth", protocol: wire.POP3, codes: []fault.Code{fault.Refused}, texts: []string{"which apop needs"},
		hint: true},
	{topic: "wrong-auth", codes: []fault.Code{fault.Refused}, hint: true,
		is: func(err error) bool { return strings.HasPrefix(fault.HintOf(err), sasl.Offer) }},
	{topic: "wrong-auth", codes: []fault.Code{fault.Refused}, login: showsMore,
		texts: []string{"no login that suits the credentials"}, hint: true},
	{topic: "authorize-as", codes: []fault.Code{fault.Refused}, login: authorizes,
		texts: []string{"no login that suits the credentials"}},

	// What servers for sending say is asked about, too.
	{topic: "cannot-send", texts: []string{"smtpclientauthentication", "smtp_auth_disabled"}},

	// Modern authentication, before the words that its texts share with others.
	{topic: "device-approval", codes: signingIn, texts: []string{"conditional access", "unusual sign", "suspicious", "new device",
		"unrecognized device", "unregistered device", "approve", "web login required", "log in via your web browser",
		"please log in with your web browser", "verify it's you", "verify your identity", "verify your account",
		"confirm it's you", "confirm it was you", "confirm that it was you", "confirm your identity", "sign-in blocked",
		"sign-in was blocked", "device is quarantined", "device is in quarantine", "device has been quarantined",
		"device quarantined"}},
	{topic: "token-expired", codes: signingIn, texts: []string{"invalid_grant", "invalid_rapt", "expired token",
		"token expired", "token has expired"}},
	{topic: "modern-auth", codes: signingIn, texts: []string{"aadsts", oauthProvider}},
	{topic: "modern-auth", codes: signingIn, login: showsPassword, texts: []string{"basicauthblocked", "basic auth",
		"modern auth", "oauth", "consent"}},

	// Passwords.
	{topic: "app-password", codes: signingIn, login: showsPassword, texts: []string{"application-specific", "application specific",
		"app-specific", "app specific", "app password", "application password", "invalidsecondfactor", "second factor",
		"two-factor", "two-step", "2fa", "authorization code", "authorisation code", "authorized code",
		"授权码"}},
	{topic: "device-approval", codes: signingIn, texts: []string{"device not registered", "device is not registered",
		"device must be registered", "device has to be registered", "device needs to be registered", "register your device",
		"register this device", "device not enrolled", "device is not enrolled", "to be enrolled", "must be enrolled", "must enrol", "enrolment",
		"enrollment", "intune", "approval"}},
	{topic: "modern-auth", codes: signingIn, login: showsPassword, texts: []string{"multi-factor", "multifactor", "multi factor", "(mfa)",
		"mfa required", "mfa is required", "requires mfa", "mfa code"}},
	{topic: "password-expired", responses: []string{"EXPIRED"}},
	{topic: "password-expired", codes: signingIn, texts: []string{"password expired", "password has expired",
		"password is expired", "change your password", "password must be changed", "must change"}},
	{topic: "address-refused", codes: signingIn, texts: []string{"this country", "your country", "my country", "this location", "your location",
		"your ip is not", "your ip address is not", "this ip is not", "this ip address is not", "ip not allowed",
		"ip address not allowed", "from your ip address is not", "allowed from your ip", "allowed from this ip", "permitted from your ip",
		"permitted from this ip", "ip restrict", "ip address restrict"}},
	{topic: "login-disabled", codes: signingIn, texts: []string{"no login that suits the credentials"}},
	{topic: "plaintext-refused", codes: signingIn, texts: []string{"plaintext auth", "cleartext", "clear text login",
		"secure connection", "requires ssl", "requires tls", "encryption required", "must issue a starttls", "tls first"}},
	// It is not the account that is off where a way to it is.
	{topic: "switched-off", codes: signingIn, texts: []string{"access deactivated", "access is deactivated",
		"access has been deactivated", "access was deactivated", "imap deactivated", "imap is deactivated",
		"imap has been deactivated", "imap was deactivated", "pop3 deactivated", "pop3 is deactivated",
		"pop3 has been deactivated", "pop3 was deactivated", "pop has been deactivated", "protocol is deactivated"}},
	{topic: "account-disabled", codes: signingIn, texts: []string{"account is disabled", "account disabled",
		"account has been disabled", "account was disabled", "account temporarily disabled", "account is temporarily disabled",
		"account has been temporarily disabled", "account permanently disabled", "account is permanently disabled",
		"account has been permanently disabled", "user disabled", "user is disabled", "suspended", "deactivated",
		"account is inactive", "account is currently inactive", "account inactive", "account is not active",
		"account not active", "account closed", "account has been closed"}},
	{topic: "switched-off", codes: signingIn, texts: []string{"disabled", "not enabled", "not been enabled", "enable pop",
		"enable imap", "enable access", "service is not open", "not activated", "not allowed to use", "not permitted to use",
		"web settings", "pop3 access", "imap access", "switched off", "turned off", "protocol is blocked"}},
	{topic: "not-connected", texts: []string{"authenticated but not connected"}},
	{topic: "too-many-connections", codes: signingIn, texts: []string{"too many connections", "too many simultaneous",
		"maximum number of connections", "maximum number of sessions", "connection limit", "too many sessions",
		"concurrent", "mail_max_userip_connections"}},
	{topic: "too-many-connections", codes: signingIn, responses: []string{"LIMIT"}},
	{topic: "throttled", texts: []string{"throttl", "bandwidth", "backoff time", "command limit"}},
	{topic: "quota", responses: []string{"OVERQUOTA"}}, // Gmail says it of traffic, too: see throttled
	{topic: "quota", codes: signingIn, texts: []string{"over quota", "over-quota", "overquota", "quota exceeded",
		"exceeded quota", "exceeds quota", "exceeded the quota", "exceeded its quota", "exceeded your quota", "out of quota",
		"mailbox full", "mailbox is full"}},
	{topic: "maildrop-locked", protocol: wire.IMAP, responses: []string{"INUSE"}},
	{topic: "maildrop-locked", codes: []fault.Code{fault.Temporary}, is: isInUse},
	{topic: "locked-out", codes: signingIn, texts: []string{"too many login", "too many failed", "too many attempts",
		"too many bad", "too many invalid", "too many auth", "too many unsuccessful", "login limit", "rate limit", "locked",
		"lockout", "temporarily blocked", "been blocked", "is blocked", "blacklist", "banned", "excessive failures",
		"attempts exceeded", "too frequent", "login frequency"}},
	{topic: "wrong-auth", codes: signingIn, texts: []string{"mechanism", "unsupported auth", "authentication method",
		"unknown command", "unrecognized command", "unusable challenge", "bad command", "does not know a login by"}},
	{topic: "wrong-auth", codes: []fault.Code{fault.Config}, // auth: names what is not offered
		texts: []string{"does not know a login by", "refused the login"}},
	{topic: "client-certificate", codes: []fault.Code{fault.Credentials}, is: isCertificateRefused, hint: true},
	{topic: "no-rights", responses: []string{"AUTHORIZATIONFAILED"}},
	{topic: "contact-admin", responses: []string{"CONTACTADMIN", "SYS/PERM", "CORRUPTION"}},
	{topic: "server-trouble", responses: []string{"UNAVAILABLE", "SYS/TEMP", "SERVERBUG"}},
	{topic: "may-not-act", codes: []fault.Code{fault.Credentials}, login: authorizes},
	{topic: "token-refused", codes: []fault.Code{fault.Credentials}, login: showsToken},
	{topic: "login-refused", codes: []fault.Code{fault.Credentials}},

	// Folders, and what is left.
	{topic: "namespace", protocol: wire.IMAP, codes: []fault.Code{fault.Config},
		texts: []string{"no folders in folders", "a level of it has more", "not a usable name"}, hint: true},
	{topic: "read-only", protocol: wire.IMAP, texts: []string{"may put nothing into"}},
	{topic: "folder-refused", protocol: wire.IMAP, texts: []string{"refused to open", "refused to list"}},
	{topic: "dropped", codes: []fault.Code{fault.Temporary}, texts: []string{"closed the connection", "ended the session",
		"connection reset", "eof"}},
	{topic: "silent-server", codes: []fault.Code{fault.Temporary}, texts: []string{"did not answer", "no progress"}},
	{topic: "server-trouble", codes: []fault.Code{fault.Temporary}},
	{topic: "contact-admin", codes: []fault.Code{fault.Refused}},
	{topic: "broken-protocol", codes: []fault.Code{fault.Protocol}},
}

// topicOf is the topic of an error of a side; "" for none.
func topicOf(e plan.Endpoint, err error) string { return ruleOf(e, err).topic }

// ruleOf is the rule that an error of a side falls under; without a topic: none.
func ruleOf(e plan.Endpoint, err error) rule {
	for _, r := range rules {
		if r.fits(e, err) {
			return r
		}
	}
	return rule{}
}

// fits reports whether an error is what the rule is about.
func (r rule) fits(e plan.Endpoint, err error) bool {
	var known *fault.Error
	response := ""
	if errors.As(err, &known) {
		response = known.Response
	}
	text := strings.ToLower(wordsFor(e, err))
	says := func(words string) bool { return strings.Contains(text, words) }
	return (r.protocol == "" || r.protocol == e.Protocol) &&
		(r.codes == nil || slices.Contains(r.codes, fault.CodeOf(err))) &&
		(r.responses == nil || slices.Contains(r.responses, response)) &&
		(r.texts == nil || slices.ContainsFunc(r.texts, says)) &&
		(r.numbers == nil || r.hasNumberOf(text)) &&
		(r.is == nil || r.is(err)) &&
		(r.login == nil || r.login(e))
}

// wordsFor is what was said, also where a word of it was hidden since it happens to be the
// password: "Application-specific *** required". It is to be compared and never shown.
func wordsFor(e plan.Endpoint, err error) string { return e.Secret.RevealIn(err.Error()) }

// hasNumberOf reports a text with a number that the rule is about.
func (r rule) hasNumberOf(text string) bool {
	return slices.ContainsFunc(oauth.Numbers(text), func(n int) bool { return slices.Contains(r.numbers, n) })
}

// showsToken reports a login with a token: where it is named, the password is the token.
func showsToken(e plan.Endpoint) bool {
	return e.OAuth != nil || slices.Contains([]string{"xoauth2", "oauthbearer"}, e.Auth)
}

func showsPassword(e plan.Endpoint) bool { return !showsToken(e) }

// showsMore reports a login with something else than a password.
func showsMore(e plan.Endpoint) bool { return showsToken(e) || e.Certificate != nil }

func authorizes(e plan.Endpoint) bool { return e.AuthorizeAs != "" }

// nobodySignsIn reports a login with tokens that end with nobody's password or consent.
func nobodySignsIn(e plan.Endpoint) bool { return e.OAuth != nil && !e.OAuth.Flow.Interactive() }

// isCertificateRefused tells of EXTERNAL alone: where a password was refused after it, that
// is what there is to look at.
func isCertificateRefused(err error) bool {
	return errors.Is(err, sasl.ErrExternal) && fault.RefusalsOf(err) == 1
}

// isInUse looks at what the server said: in our own words before it there is a login, and a
// locked one of those is an account.
func isInUse(err error) bool {
	said := err.Error()
	for _, ours := range []string{"login refused: ", "refused the login: "} {
		if _, answer, ok := strings.Cut(said, ours); ok {
			said = answer
		}
	}
	return sasl.InUse(said)
}

func isUnreadable(err error) bool { return sasl.Unreadable(err.Error()) }

func as[T error](err error) (found T, ok bool) {
	ok = errors.As(err, &found)
	return found, ok
}

func isTimeout(err error) bool {
	network, ok := as[net.Error](err)
	return ok && network.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// isNotYetValid tells a certificate of the future from one of the past: to Go both
// are expired.
func isNotYetValid(err error) bool {
	invalid, ok := as[x509.CertificateInvalidError](err)
	return ok && invalid.Reason == x509.Expired && invalid.Cert != nil &&
		strings.Contains(invalid.Detail, "is before")
}

// isNameless tells of a certificate without the names that count (RFC 9525 §2).
func isNameless(err error) bool {
	name, ok := as[x509.HostnameError](err)
	return ok && len(name.Certificate.DNSNames)+len(name.Certificate.IPAddresses) == 0
}

// isSelfSigned looks at what the server showed as its own: the certificate in x509's error
// is the last of the chain, and a private authority's root signs itself, too.
func isSelfSigned(err error) bool {
	failed, ok := as[*tls.CertificateVerificationError](err)
	_, unknown := as[x509.UnknownAuthorityError](err)
	if !ok || !unknown || len(failed.UnverifiedCertificates) == 0 {
		return false
	}
	leaf := failed.UnverifiedCertificates[0]
	return bytes.Equal(leaf.RawIssuer, leaf.RawSubject)
}
