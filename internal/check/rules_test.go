package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// says is a login that a server refuses with these words, as pop and imapdst tell of it.
func says(words string) error {
	return fault.New(fault.Credentials, "server mail.example:99: login refused: \"%s\"", words)
}

// refusedBy is what becomes of an answer of an OAuth provider.
func refusedBy(answer string) error {
	return fault.New(fault.Credentials, "OAuth provider login.example.org refuses: %s", answer)
}

// token is what a server says to a login that showed one.
type token struct{ error }

func (t token) Unwrap() error { return t.error }

// ofService is what a provider says to an application.
type ofService struct{ error }

func (o ofService) Unwrap() error { return o.error }

// external is what is said to a certificate.
type external struct{ error }

func (e external) Unwrap() []error { return []error{e.error, sasl.ErrExternal} }

// forAnother is what is said to a login with authorize_as.
type forAnother struct{ error }

func (f forAnother) Unwrap() error { return f.error }

func coded(code fault.Code, response, words string) error {
	return fault.New(code, "server mail.example:99: refused: \"%s\"", words).WithResponse(response)
}

func dialed(err error) error {
	return fault.New(fault.Temporary, "cannot connect to server mail.example:99: %w", &net.OpError{Op: "dial", Err: err})
}

func untrusted(err error) error {
	return fault.New(fault.TLS, "server mail.example:99: certificate not trusted: %w", err)
}

func signed(subject, issuer string) *x509.Certificate {
	return &x509.Certificate{RawSubject: []byte(subject), RawIssuer: []byte(issuer)}
}

// unverified is what becomes of a chain that ends in no authority that is known: x509 names
// its last certificate.
func unverified(chain ...*x509.Certificate) error {
	return untrusted(&tls.CertificateVerificationError{UnverifiedCertificates: chain,
		Err: x509.UnknownAuthorityError{Cert: chain[len(chain)-1]}})
}

// TestRules: what servers say, and what our own errors say, leads to what helps. The
// texts are those of servers, shortened.
func TestRules(t *testing.T) {
	used := map[int]bool{}
	for _, c := range []struct {
		err      error
		protocol wire.Protocol
		want     string
	}{
		{fault.New(fault.Temporary, "cannot connect to the proxy socks5://p:1080 of s: %w", syscall.ECONNREFUSED), "", "proxy"},
		{fault.New(fault.Temporary, "the proxy http://p:3128 does not connect to s: it answers \"403\""), "", "proxy"},
		{fault.New(fault.Config, "s has no address of the kind of 192.0.2.7"), "", "source-address"},
		{fault.New(fault.Config, "cannot connect to s from 192.0.2.7: %w", syscall.EADDRNOTAVAIL), "", "source-address"},
		{fault.New(fault.Config, "s wants a client certificate: remote error"), "", "client-certificate"},
		{fault.New(fault.Credentials, "s refuses our certificate: remote error"), "", "client-certificate"},
		{fault.New(fault.Temporary, "cannot reach OAuth provider login.example.org: connection refused"), "", "oauth-provider"},
		{fault.New(fault.TLS, "OAuth provider login.example.org: certificate not trusted: x"), "", "oauth-provider"},
		{fault.New(fault.Credentials, "no token for OAuth provider login.example.org is stored"), "", "not-signed-in"},
		{token{fault.New(fault.Credentials, "/t/ab holds a token and is open to other users (mode 0644)")}, "", "open-to-others"},
		{token{fault.New(fault.State, "the token in /t/ab is damaged, or of another version of popferry")}, "", "token-unreadable"},
		{token{fault.New(fault.State, "store the token: no space left on device")}, "", "token-unreadable"},
		{token{fault.New(fault.Config, "the keyring cannot be used: locked")}, "", "token-unreadable"},
		{fault.New(fault.Credentials, "OAuth provider login.example.org refuses: invalid_client"), "", "oauth-provider"},
		{fault.New(fault.Credentials, "OAuth provider login.example.org refuses: invalid_grant"), "", "token-expired"},
		{refusedBy("invalid_grant (AADSTS50076: you must use multi-factor authentication)"), "", "modern-auth"},
		{refusedBy("invalid_grant (AADSTS50072: you must enroll in multi-factor authentication)"), "", "modern-auth"},
		{refusedBy("invalid_grant (AADSTS65001: has not consented to use the application)"), "", "modern-auth"},
		{refusedBy("invalid_grant (AADSTS50105: is not assigned to a role for the application)"), "", "modern-auth"},
		{refusedBy("invalid_grant (AADSTS50053: The account is locked.)"), "", "locked-out"},
		{refusedBy("invalid_grant (AADSTS50055: The password is expired.)"), "", "password-expired"},
		{refusedBy("invalid_grant (AADSTS50057: The user account is disabled.)"), "", "account-disabled"},
		{refusedBy("invalid_grant (AADSTS50129: Device is not workplace joined.)"), "", "device-approval"},
		{refusedBy("invalid_grant (AADSTS50131: Device is not in required device state)"), "", "device-approval"},
		{refusedBy("invalid_grant (AADSTS50020: User account does not exist in tenant)"), "", "wrong-tenant"},
		{refusedBy("invalid_grant (AADSTS500341: The user account has been deleted)"), "", "wrong-tenant"},
		{refusedBy("invalid_grant (AADSTS700082: The refresh token has expired)"), "", "token-expired"},
		{refusedBy("invalid_grant (AADSTS99999: Something new.)"), "", "token-expired"},
		{refusedBy("unauthorized_client (AADSTS7000229: is missing service principal)"), "", "oauth-provider"},
		{refusedBy("invalid_client (AADSTS7000222: The client secret keys are expired)"), "", "oauth-provider"},
		{refusedBy("admin_policy_enforced"), "", "modern-auth"},
		{refusedBy("org_internal"), "", "wrong-tenant"},
		{refusedBy("invalid_grant (reauth related error (invalid_rapt))"), "", "token-expired"},
		{dialed(&net.DNSError{Err: "no such host", IsNotFound: true}), "", "unknown-host"},
		{dialed(&net.DNSError{Err: "server misbehaving"}), "", "dns"},
		{dialed(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "", "connection-refused"},
		{dialed(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "", "unreachable"},
		{dialed(os.NewSyscallError("connect", syscall.ENETUNREACH)), "", "unreachable"},
		{dialed(context.DeadlineExceeded), "", "timeout"},
		{dialed(os.ErrDeadlineExceeded), "", "timeout"},
		{untrusted(x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired,
			Detail: "current time 2026-01-01 is after 2025-01-01"}), "", "certificate-expired"},
		{untrusted(x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired,
			Detail: "current time 1970-01-01 is before 2025-01-01"}), "", "certificate-not-yet-valid"},
		{untrusted(x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example"}}, Host: "mail.example"}), "", "certificate-name"},
		{untrusted(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "mail.example"}), "", "certificate-nameless"},
		{untrusted(errors.New("x509: certificate relies on legacy Common Name field, use SANs instead")), "", "certificate-nameless"},
		{unverified(signed("a", "a")), "", "self-signed"},
		{unverified(signed("b", "a")), "", "certificate-unknown-ca"},
		{unverified(signed("b", "a"), signed("a", "a")), "", "certificate-unknown-ca"},
		{untrusted(errors.New("certificate verify failed: certificate is not yet valid")), "", "certificate-not-yet-valid"},
		{untrusted(errors.New("certificate verify failed: certificate has expired")), "", "certificate-expired"},
		{untrusted(errors.New("certificate verify failed: Hostname mismatch")), "", "certificate-name"},
		{untrusted(errors.New("self-signed certificate in certificate chain")), "", "certificate-unknown-ca"},
		{untrusted(errors.New("certificate verify failed: self-signed certificate")), "", "self-signed"},
		{fault.New(fault.TLS, "s: the key is not the pinned one: it is sha256:00"), "", "pin-changed"},
		{fault.New(fault.TLS, "TLS handshake with s: remote error: tls: protocol version not supported"), "", "old-tls"},
		{fault.New(fault.TLS, "TLS handshake with s: remote error: tls: internal error"), "", "old-tls"},
		{fault.New(fault.Config, "s answered in clear text where TLS was expected: %w", tls.RecordHeaderError{}), "",
			"tls-not-spoken"},
		{fault.New(fault.Config, "s expects TLS from the first byte"), "", "tls-expected"},
		{fault.New(fault.Temporary, "s did not finish the TLS handshake within 30s"), "", "tls-not-spoken"},
		{fault.New(fault.Temporary, "s closed the connection during the TLS handshake: %w", io.EOF), "", "dropped"},
		{fault.New(fault.TLS, "s: TLS is required but not offered: \"-ERR\""), wire.POP3, "starttls-missing"},
		{fault.New(fault.TLS, "s refused STARTTLS: no"), wire.IMAP, "starttls-missing"},
		{coded(fault.TLS, "PRIVACYREQUIRED", "TLS please"), wire.IMAP, "plaintext-refused"},
		{fault.New(fault.TLS, "s accepts no login that suits the credentials"), wire.IMAP, "plaintext-refused"},
		{fault.New(fault.TLS, "s sent 20 bytes in clear text after agreeing to TLS"), "", "tampering"},
		{fault.New(fault.TLS, "s says that we are logged in already (PREAUTH)"), wire.IMAP, "tampering"},
		{fault.New(fault.Protocol, "s SCRAM: the server can't prove that it knows the password"), "", "tampering"},
		{fault.New(fault.Protocol, "s said OK in the middle of a login by SCRAM-SHA-256"), "", "tampering"},
		{fault.New(fault.Protocol, "s is a web server, not a POP3 server (got \"HTTP/1.1 400\")"), wire.POP3, "web-server"},
		{fault.New(fault.Protocol, "s is an SMTP or FTP server, not a POP3 server"), wire.POP3, "smtp-port"},
		{fault.New(fault.Protocol, "s is an IMAP server, not a POP3 server"), wire.POP3, "other-protocol"},
		{fault.New(fault.Protocol, "s is a POP3 server, not an IMAP server"), wire.IMAP, "other-protocol"},
		{fault.New(fault.Protocol, "s is an SSH server, not an IMAP server"), wire.IMAP, "no-mail-server"},
		{fault.New(fault.Protocol, "s is not a POP3 server (got \"hello\")"), wire.POP3, "no-mail-server"},
		{fault.New(fault.Temporary, "s accepted the connection but said nothing for 30s"), "", "silent-server"},

		{coded(fault.Temporary, "IN-USE", "Do you have another POP session running?"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "LOGIN-DELAY", "minimum time between mail checks violation"), wire.POP3, "login-delay"},
		{coded(fault.Temporary, "", "maildrop already locked"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "", "Unable to lock mailbox"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "", "User already logged in"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "", "There is already an active session for this user"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "", "Could not lock mailbox"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "", "mailbox is busy"), wire.POP3, "maildrop-locked"},
		{coded(fault.Temporary, "INUSE", "timeout"), wire.IMAP, "maildrop-locked"},
		{coded(fault.Temporary, "", "NO Mailbox is locked by POP server"), wire.IMAP, "maildrop-locked"},
		{coded(fault.Temporary, "", "NO Mailbox already in use by another process"), wire.IMAP, "maildrop-locked"},
		{coded(fault.Temporary, "", "minimum time between mail checks violation"), wire.POP3, "login-delay"},
		{coded(fault.Temporary, "", "wait between checks"), wire.POP3, "login-delay"},
		{coded(fault.Temporary, "", "Login frequency limited"), wire.POP3, "login-delay"},
		{coded(fault.Temporary, "", "Login frequency limited"), wire.IMAP, "locked-out"},
		{fault.New(fault.Refused, "s: LIST refused: \"-ERR internal\""), wire.POP3, "listing-refused"},
		{fault.New(fault.Protocol, "s: unusable listing: message 3 listed twice"), wire.POP3, "listing-refused"},
		{fault.New(fault.Refused, "s: login refused: \"message is damaged\""), wire.POP3, "listing-refused"},

		{says("AADSTS53003: Access has been blocked by Conditional Access policies."), "", "device-approval"},
		{says("AADSTS50097: Device authentication is required."), "", "device-approval"},
		{says("[ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754"), "",
			"device-approval"},
		{says("AADSTS700082: The refresh token has expired due to inactivity."), "", "token-expired"},
		{says("invalid_grant: Token has been expired or revoked."), "", "token-expired"},
		{token{says("[AUTH] Authentication failed; token: status 401, scope mail")}, "", "token-refused"},
		{token{says("Logon failure: unknown user name or bad password.")}, "", "token-refused"},
		{token{says("XOAUTH2 authentication failed")}, "", "token-refused"},
		{token{says("[ALERT] IMAP access is disabled for your domain.")}, "", "switched-off"},
		{token{coded(fault.Temporary, "UNAVAILABLE", "backend")}, wire.IMAP, "server-trouble"},
		{token{says("OAuth provider login.example.org refuses: access_denied")}, "", "modern-auth"},
		{says("AADSTS50053: The account is locked, you've tried to sign in too many times."), "", "locked-out"},
		{says("AADSTS50055: The password is expired."), "", "password-expired"},
		{says("AADSTS50057: The user account is disabled."), "", "account-disabled"},
		{says("AADSTS50126: Error validating credentials due to invalid username or password."), "", "login-refused"},
		{says("AADSTS65001: The user or administrator has not consented to use the application."), "", "modern-auth"},
		{says("AADSTS50076: you must use multi-factor authentication to access"), "", "modern-auth"},
		{says("Logon failure: LogonDenied-BasicAuthBlocked"), "", "modern-auth"},

		{says("Device not registered; pending approval"), "", "device-approval"},
		{says("Your device needs to be enrolled (Intune)"), "", "device-approval"},
		{says("your device must be registered first"), "", "device-approval"},
		{says("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."), "", "cannot-send"},
		{says("suspicious sign-in from your location, approve it"), "", "device-approval"},
		{says("Multi-factor authentication required"), "", "modern-auth"},
		{says("Please enter the security code (MFA)"), "", "modern-auth"},
		{says("Multi-factor authentication is on: use an app password"), "", "app-password"},
		{says("user mfarrow is not registered"), "", "login-refused"},

		{says("[AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833"), "",
			"app-password"},
		{says("[ALERT] Invalid credentials; InvalidSecondfactor"), "", "app-password"},
		{says("NO AUTHENTICATE please use an app password"), "", "app-password"},
		{says("login fail, please using authorized code to login: authorization code"), "", "app-password"},
		{coded(fault.Credentials, "EXPIRED", "no"), wire.IMAP, "password-expired"},
		{says("Your password has expired"), "", "password-expired"},
		{fault.New(fault.Refused, "s accepts no login that suits the credentials"), wire.IMAP, "login-disabled"},
		{says("Plaintext authentication disallowed on non-secure connections."), "", "plaintext-refused"},
		{says("Account is disabled"), "", "account-disabled"},
		{coded(fault.Refused, "SYS/PERM", "Account temporarily disabled, pay your bill"), wire.POP3, "account-disabled"},
		{says("Your account was disabled"), "", "account-disabled"},
		{says("POP3 access is temporarily disabled"), "", "switched-off"},
		{says("This account has been suspended for abuse"), "", "account-disabled"},
		{says("Your account has been deactivated"), "", "account-disabled"},
		{says("external mail client access is deactivated for this mailbox"), "", "switched-off"},
		{says("Access to this account via POP3/IMAP has been deactivated. Activate it in the settings"), "", "switched-off"},
		{coded(fault.Refused, "SYS/PERM", "POP3/IMAP access deactivated"), "", "switched-off"},
		{says("Sign-in blocked. Check your email and confirm it was you"), "", "device-approval"},
		{says("Your device is quarantined"), "", "device-approval"},
		{says("[AUTH] POP3 access is disabled"), "", "switched-off"},
		{says("access from your IP address is not allowed"), "", "address-refused"},
		{says("[ALERT] IMAP access is not allowed from your IP"), "", "address-refused"},
		{says("login from this country blocked"), "", "address-refused"},
		{says("Too many failed logins from your IP address, it is blocked"), "", "locked-out"},
		{says("[SYS/PERM] Your account is not enabled for POP access. Please visit your settings page"), "", "switched-off"},
		{says("[ALERT] Your account is not enabled for IMAP use"), "", "switched-off"},
		{says("LOGIN disabled for this user"), "", "switched-off"},
		{says("IMAP service is not open"), "", "switched-off"},
		{says("User is authenticated but not connected."), wire.IMAP, "not-connected"},
		{coded(fault.Temporary, "", "[ALERT] Too many simultaneous connections. (Failure)"), "", "too-many-connections"},
		{coded(fault.Temporary, "", "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"),
			"", "too-many-connections"},
		{coded(fault.Temporary, "LIMIT", "no more"), wire.IMAP, "too-many-connections"},
		{coded(fault.Temporary, "", "Request is throttled. Suggested Backoff Time: 299961 milliseconds"), "", "throttled"},
		{coded(fault.Temporary, "OVERQUOTA", "Account exceeded command or bandwidth limits."), wire.IMAP, "throttled"},
		{coded(fault.Refused, "OVERQUOTA", "mailbox full"), wire.IMAP, "quota"},
		{coded(fault.Refused, "SYS/PERM", "Mailbox over quota"), wire.POP3, "quota"},
		{says("user is over quota"), "", "quota"},
		{coded(fault.Temporary, "", "Exceeded the login limit for a 15 minute period. Reduce the frequency."), wire.POP3,
			"locked-out"},
		{says("Too many failed logins, account is locked for 30 minutes"), "", "locked-out"},
		{says("AUTH mechanism not supported"), "", "wrong-auth"},
		{external{says("no")}, "", "client-certificate"},
		{forAnother{says("no")}, "", "may-not-act"},
		{ofService{refusedBy("invalid_grant (Invalid JWT Signature.)")}, "", "oauth-provider"},
		{fault.New(fault.Config, "s does not know a login by CRAM-MD5: \"no\""), wire.POP3, "wrong-auth"},
		{fault.New(fault.Refused, "s does not know a login by USER: \"no\""), wire.POP3, "wrong-auth"},
		{fault.New(fault.Refused, "s offers no login that suits the credentials").WithHint("%sCRAM-MD5", sasl.Offer), wire.IMAP,
			"wrong-auth"},
		{fault.New(fault.Config, "s refused the login: NO unsupported"), wire.IMAP, "wrong-auth"},
		{fault.New(fault.Protocol, "s refused the login: BAD Unknown command"), wire.IMAP, "wrong-auth"},
		{fault.New(fault.Refused, "s greets without a proper timestamp, which APOP needs: \"+OK a suspicious one\""), wire.POP3,
			"wrong-auth"},
		{token{fault.New(fault.Refused, "s offers no login that suits the credentials; its SASL mechanisms: PLAIN")}, "",
			"wrong-auth"},
		{forAnother{fault.New(fault.Refused, "s offers no login that suits the credentials; its SASL mechanisms: XOAUTH2")}, "",
			"authorize-as"},
		{coded(fault.Credentials, "AUTHORIZATIONFAILED", "not yours"), wire.IMAP, "no-rights"},
		{coded(fault.Refused, "CONTACTADMIN", "call us"), wire.IMAP, "contact-admin"},
		{coded(fault.Refused, "SYS/PERM", "mailbox damaged"), wire.POP3, "contact-admin"},
		{coded(fault.Temporary, "UNAVAILABLE", "backend"), wire.IMAP, "server-trouble"},
		{coded(fault.Temporary, "SYS/TEMP", "backend"), wire.POP3, "server-trouble"},
		{says("[AUTH] Authentication failed."), "", "login-refused"},

		{fault.New(fault.Config, "folder \"a/b\": this server has no folders in folders"), wire.IMAP, "namespace"},
		{fault.New(fault.Config, "folder \"a\": a level of it has more than 255 octets on this server"), wire.IMAP, "namespace"},
		{fault.New(fault.Refused, "s says that this user may put nothing into folder Old"), wire.IMAP, "read-only"},
		{fault.New(fault.Refused, "s refused to open \"Old\": NO [NOPERM]"), wire.IMAP, "folder-refused"},
		{fault.New(fault.Temporary, "s closed the connection: EOF"), "", "dropped"},
		{fault.New(fault.Temporary, "s ended the session: maintenance"), wire.IMAP, "dropped"},
		{fault.New(fault.Temporary, "s did not answer for 1m30s"), "", "silent-server"},
		{coded(fault.Temporary, "", "try again later"), "", "server-trouble"},
		{coded(fault.Refused, "", "no"), "", "contact-admin"},
		{fault.New(fault.Protocol, "s broke the IMAP protocol: not IMAP syntax"), wire.IMAP, "broken-protocol"},
		{fault.New(fault.Config, "auth: \"x\" is not one of auto, plain, user"), "", ""},
		{errors.New("nobody classified this"), "", ""},
	} {
		protocols := []wire.Protocol{c.protocol}
		if c.protocol == "" {
			protocols = []wire.Protocol{wire.POP3, wire.IMAP}
		}
		for _, p := range protocols {
			e := plan.Endpoint{Endpoint: wire.Endpoint{Protocol: p}}
			switch c.err.(type) {
			case token:
				e.OAuth = &plan.OAuth{Flow: plan.DeviceFlow}
			case forAnother:
				e.AuthorizeAs = "alice"
			case ofService:
				e.OAuth = &plan.OAuth{Flow: plan.ServiceAccount}
			}
			if got := topicOf(e, fmt.Errorf("account: %w", c.err)); got != c.want {
				t.Errorf("%v, %s: %q, want %q", c.err, p, got, c.want)
			}
			for i, r := range rules {
				if r.fits(e, c.err) {
					used[i] = true
					break
				}
			}
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("no case reaches the rule for %s: %q %q", r.topic, r.texts, r.responses)
		}
	}
}

// TestTextsAreInLowerCase: they are compared with lower case.
func TestTextsAreInLowerCase(t *testing.T) {
	for _, r := range rules {
		if topic(r.topic).Symptom == "" {
			t.Errorf("a rule is about %q, of which nothing is known", r.topic)
		}
		for _, text := range r.texts {
			if text != strings.ToLower(text) {
				t.Errorf("%s: %q is never found", r.topic, text)
			}
		}
	}
}

// TestFullMaildrop: where the old mailbox is full, there is nothing to bring to it; where the new
// one lets nobody in for want of room, nothing can be brought.
func TestFullMaildrop(t *testing.T) {
	source := plan.Endpoint{Endpoint: wire.Endpoint{Host: "mail.example", Protocol: wire.POP3}}
	destination := plan.Endpoint{Endpoint: wire.Endpoint{Host: "mail.example", Protocol: wire.IMAP}}
	old, target := diagnose(source, says("user is over quota")), diagnose(destination, says("user is over quota"))
	if old.Topic != "quota" || !strings.Contains(old.Check, "empty trash") || strings.Contains(old.Check, "a run brings") {
		t.Errorf("%+v", old)
	}
	if target.Topic != "quota" || !strings.Contains(target.Check, "make room") || strings.Contains(target.Check, "a run brings") {
		t.Errorf("%+v", target)
	}
}

// TestOtherLogins: a refused login is not always about a password.
func TestOtherLogins(t *testing.T) {
	service := plan.Endpoint{OAuth: &plan.OAuth{Flow: plan.ServiceAccount}}
	person := plan.Endpoint{OAuth: &plan.OAuth{Flow: plan.DeviceFlow}}
	another := plan.Endpoint{AuthorizeAs: "alice"}
	external := fault.New(fault.Credentials, "s refused the login: NO no").WithHint("the certificate")
	external.Err = sasl.ErrExternal
	both := sasl.AfterExternal(external, fault.New(fault.Credentials, "s refused the login: NO no").WithHint("the password"))
	grant := refusedBy("invalid_grant (Invalid JWT: Token must be a short-lived token)")
	for _, c := range []struct {
		side        plan.Endpoint
		err         error
		topic, says string
	}{
		{plan.Endpoint{}, external, "client-certificate", "the certificate"}, {plan.Endpoint{}, both, "login-refused", "user name"},
		{another, external, "client-certificate", "the certificate"}, {another, says("no"), "may-not-act", "authorize_as"},
		{another, coded(fault.Credentials, "AUTHORIZATIONFAILED", "no"), "no-rights", "full access"},
		{service, fault.New(fault.Credentials, "%w", grant).WithHint("the clock"), "oauth-provider", "the clock"},
		{person, grant, "token-expired", "popferry login"},
	} {
		if p := diagnose(c.side, c.err); p.Topic != c.topic || !strings.Contains(p.Check, c.says) {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
	if p := diagnose(person, says("no")); !strings.Contains(p.Cause, "expired") {
		t.Errorf("%+v", p)
	}
}

// TestOAuthCauses: what may be wrong has what is wrong most often in it.
func TestOAuthCauses(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{fault.New(fault.Config, "the keyring cannot be used: no such program"), "there is none"},
		{fault.New(fault.Credentials, "OAuth provider login.example.org refuses: invalid_client"), "client_secret"},
	} {
		if p := diagnose(plan.Endpoint{OAuth: &plan.OAuth{}}, c.err); !strings.Contains(p.Cause, c.says) {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
}

// TestOfferedOnce: what a server offers is told of once, whether or not it is all that there is to check.
func TestOfferedOnce(t *testing.T) {
	const offered = "; SASL mechanisms that it offers: CRAM-MD5"
	for hint, code := range map[string]fault.Code{sasl.Offer + "CRAM-MD5: set auth: cram-md5" + offered: fault.Refused,
		"set auth: auto" + offered: fault.Config} {
		err := fault.New(code, "s does not know a login by USER: \"no\"").WithHint("%s", hint)
		if p := diagnose(plan.Endpoint{}, err); strings.Count(p.Check, offered) != 1 {
			t.Errorf("%s: %s", hint, p.Check)
		}
	}
}

// TestOwnHints: what an error of ours says to check is not lost over what is true of all.
func TestOwnHints(t *testing.T) {
	source := plan.Endpoint{Endpoint: wire.Endpoint{Host: "mail.example", Protocol: wire.POP3}}
	destination := plan.Endpoint{Endpoint: wire.Endpoint{Host: "mail.example", Protocol: wire.IMAP}}
	signedIn := destination
	signedIn.Host = "outlook.office365.com" // whose pages are about other things
	signedIn.OAuth = &plan.OAuth{}
	for _, c := range []struct {
		side plan.Endpoint
		err  *fault.Error
		hint string
	}{
		{source, fault.New(fault.Refused, "s greets without a proper timestamp, which APOP needs: \"+OK\""),
			"set auth: auto; this server has no APOP"},
		{signedIn, fault.New(fault.Refused, "s offers no login that suits the credentials; its SASL mechanisms: PLAIN"),
			"the server does not take OAuth here"},
		{signedIn, fault.New(fault.Credentials, "/t/ab holds a token and is open to other users (mode 0644)"),
			"run: chmod 600 /t/ab; if others may have read it, sign in again with popferry login"},
		{signedIn, fault.New(fault.State, "the token in /t/ab is damaged, or of another version of popferry"),
			"sign in again with popferry login, which replaces it"},
		{source, fault.New(fault.Temporary, "the proxy http://p:1080 does not connect to s: EOF"), "check that the proxy is one for http://"},
		{destination, fault.New(fault.Config, "folder \"a/b\": this server has no folders in folders"), "choose a name without /"},
	} {
		if p := diagnose(c.side, c.err.WithHint("%s", c.hint)); p.Check != c.hint || p.Topic == "" {
			t.Errorf("%v: %+v", c.err, p)
		} else if strings.Contains(c.err.Message, "/t/ab") && p.Page != "" {
			t.Errorf("%v: the provider's page is shown: %+v", c.err, p)
		}
	}
}
