package sasl

import (
	"slices"
	"strings"
)

// Hint says what to check when a login by a mechanism was refused; general is what
// there is to check where a password was. Chosen tells that nobody named the
// mechanism.
func Hint(c Credentials, mechanism string, chosen bool, general string) string {
	hint := mechanismHint(mechanism, chosen, general)
	if c.AuthorizeAs != "" {
		hint += "; and the server has to let the user name act for the one in authorize_as"
	}
	return hint
}

func mechanismHint(mechanism string, chosen bool, general string) string {
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
	"is set here, written just as the server writes it (case, with or without @domain); check both"

// NoWayHint says what to do where a server offers no login that suits the
// credentials. To what it offers over SASL comes APOP, where its greeting has it.
func NoWayHint(c Credentials, offered []string) string {
	if way := OfferHint(c, offered); way != "" {
		return way
	}
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

// APOP is what the greeting of a POP3 server offers (RFC 1939 §7).
const APOP = "APOP"

// Offer begins what [OfferHint] says.
const Offer = "the server offers "

// OfferHint names a way to log in that is offered and that auto does not take for what it was
// given; "" for none.
func OfferHint(c Credentials, offered []string) string {
	has := func(mechanism string) bool { return slices.Contains(offered, mechanism) }
	switch byPassword := c.HasPassword() && c.AuthorizeAs == ""; {
	case byPassword && has(CramMD5):
		return Offer + "CRAM-MD5, which auto leaves out: set auth: cram-md5"
	case byPassword && has(APOP):
		return Offer + "APOP, which auto leaves out: set auth: apop"
	case !c.Certificate && has(External):
		return Offer + "EXTERNAL, a login by certificate: set tls_cert and tls_key"
	case c.Token.Empty() && (has(OAuthBearer) || has(XOAuth2)):
		return Offer + "OAuth: give oauth in place of the password"
	}
	return ""
}
