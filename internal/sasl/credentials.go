package sasl

import (
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
)

// The mechanisms by the names that servers announce. In accounts.yaml they are
// written in lower case.
const (
	External    = "EXTERNAL"
	OAuthBearer = "OAUTHBEARER"
	XOAuth2     = "XOAUTH2"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA1   = "SCRAM-SHA-1"
	CramMD5     = "CRAM-MD5"
	Plain       = "PLAIN"
	Login       = "LOGIN"
)

// Mechanisms are all that this package can do, the strongest first.
func Mechanisms() []string {
	return []string{External, OAuthBearer, XOAuth2, ScramSHA256, ScramSHA1, Plain, Login, CramMD5}
}

// Mechanism returns the mechanism that a word of accounts.yaml stands for.
func Mechanism(word string) (name string, ok bool) {
	name = strings.ToUpper(word)
	return name, word == strings.ToLower(word) && slices.Contains(Mechanisms(), name)
}

// TakesToken tells whether a login by this word of accounts.yaml may need a token.
func TakesToken(word string) bool {
	return slices.Contains([]string{"", "auto", "oauthbearer", "xoauth2"}, word)
}

// Credentials are what a person can show to a server.
type Credentials struct {
	// Username logs in. AuthorizeAs is whose mailbox it is to be, where that is
	// somebody else; mostly empty (RFC 4422 §2, the authorization identity).
	Username, AuthorizeAs string
	// Password is for the mechanisms with one, Token for those of OAuth.
	Password, Token secret.Value
	// Certificate tells that TLS showed the server one of ours, Holder whose it is; see [Holder].
	Certificate bool
	Holder      string
	// Host and Port are where the server is, as we were told.
	Host string
	Port int
}

// Hide takes what is secret out of a text of the server's.
func (c Credentials) Hide(text string) string {
	return c.Password.Hide(c.Token.Hide(text, c.Username), c.Username)
}

// IsScram tells whether a mechanism is SCRAM. Servers offer it without knowing whether
// they keep the password of this user in its form, so that a refusal may mean just that
// (GSASL in mailutils, Cyrus with passwords elsewhere).
func IsScram(mechanism string) bool { return strings.HasPrefix(mechanism, "SCRAM-") }

// ScramLast puts SCRAM behind the other ways to log in: it is for where the server turns out not
// to know them.
func ScramLast(ways []string) []string {
	sorted := slices.Clone(ways)
	slices.SortStableFunc(sorted, func(a, b string) int { return scramRank(a) - scramRank(b) })
	return sorted
}

func scramRank(way string) int {
	if IsScram(way) {
		return 1
	}
	return 0
}

// Choose returns which of the offered mechanisms suit the credentials, the
// strongest first. CRAM-MD5 is not among them: it proves no more than SCRAM, and
// has servers keep passwords that can be read.
func (c Credentials) Choose(offered []string) []string {
	return slices.DeleteFunc(Mechanisms(), func(name string) bool {
		return !slices.Contains(offered, name) || !c.suits(name)
	})
}

func (c Credentials) suits(mechanism string) bool {
	switch mechanism {
	case External:
		return c.Certificate
	case OAuthBearer, XOAuth2:
		return !c.Token.Empty()
	case ScramSHA256, ScramSHA1:
		// Servers differ in how they read anything else (RFC 5802 §5.1, SASLprep).
		return c.HasPassword() && isASCII(c.Username+c.AuthorizeAs+c.Password.Reveal())
	case Plain:
		return c.HasPassword()
	case Login:
		return c.HasPassword() && c.AuthorizeAs == ""
	}
	return false
}

// HasPassword tells whether there is a password to log in with. It may be empty,
// unless something else is there to log in with.
func (c Credentials) HasPassword() bool {
	return !c.Password.Empty() || c.Token.Empty() && !c.Certificate
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// mailbox is whose mail it is.
func (c Credentials) mailbox() string {
	if c.AuthorizeAs != "" {
		return c.AuthorizeAs
	}
	return c.Username
}

// bearer is the token of OAuth; without one the password is it.
func (c Credentials) bearer() string {
	if c.Token.Empty() {
		return c.Password.Reveal()
	}
	return c.Token.Reveal()
}

// CanAuthorize tells whether a mechanism can name somebody else's mailbox. XOAUTH2
// names only the mailbox, whoever the token was given to.
func CanAuthorize(mechanism string) bool {
	return slices.Contains([]string{External, OAuthBearer, XOAuth2, ScramSHA256, ScramSHA1, Plain},
		mechanism)
}

// Check refuses what can't be sent: a line of the protocol ends at CR LF, and NUL
// and U+0001 end the parts of a response (RFC 4616 §2, RFC 7628 §3.1).
func (c Credentials) Check() error {
	for _, part := range []struct{ name, value string }{
		{"user name", c.Username}, {"name in authorize_as", c.AuthorizeAs},
		{"password", c.Password.Reveal()}, {"token", c.Token.Reveal()},
	} {
		if strings.ContainsAny(part.value, "\r\n\x00\x01") {
			return fault.New(fault.Config, "the %s contains a line break, a NUL or a U+0001", part.name).
				WithHint("check how it is written where it comes from; a file may end in one line break only")
		}
	}
	return nil
}
