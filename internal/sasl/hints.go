package sasl

import "strings"

// Hint says what to check when a login by a mechanism was refused; general is what
// there is to check where a password was. Chosen tells that nobody named the
// mechanism.
func Hint(mechanism string, chosen bool, general string) string {
	switch {
	case mechanism == XOAuth2 || mechanism == OAuthBearer:
		return "the token may be expired or revoked, be for another user, or lack the scope for this " +
			"protocol; check the user name, too"
	case mechanism == External && chosen:
		return certificateHint + "; to log in with a password in its place leave tls_cert out, or set auth: plain where " +
			"the server wants it for TLS alone"
	case mechanism == External:
		return certificateHint
	case chosen && strings.HasPrefix(mechanism, "SCRAM-"):
		return general + "; or the server keeps the password in another form than " + mechanism +
			" needs: set auth: plain"
	}
	return general
}

const certificateHint = "the server has to know the certificate of tls_cert, and to take it for the user name that " +
	"is set here; check both"

// NoWayHint says what to do where a server offers no login that suits the
// credentials.
func NoWayHint(c Credentials) string {
	switch {
	case !c.Token.Empty():
		return "the server does not take OAuth here; set auth: xoauth2 to try it all the same, or give a password"
	case c.Certificate:
		return "the server takes no client certificate for a login here (EXTERNAL); give a password"
	case c.AuthorizeAs != "":
		return "authorize_as needs PLAIN or SCRAM; set auth: plain to try it all the same, or leave it out"
	}
	return "the provider may demand an app password or OAuth"
}
