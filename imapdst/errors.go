package imapdst

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

const (
	// bandwidthPause is how long an account rests whose daily traffic is used up.
	bandwidthPause = time.Hour
	// throttledPause is how long one rests whose session was ended for what it did.
	throttledPause = 10 * time.Minute
)

// What to check when the server breaks the protocol: it may be another server, or
// somebody in between.
const (
	strangerHint = "check that this host and port are those of an IMAP server"
	fullHint     = "make room in the destination, or ask its operator for more"
	brokenHint   = "the server breaks IMAP, or something in between changes it; try again, then ask its operator"
)

// byCode gives the class of a response code (RFC 5530 §3, RFC 7889 §3, RFC 3501
// §7.1), whatever command it answers. Codes that are not here say nothing that
// holds for every command.
func byCode(code string) (fault.Code, bool) {
	switch code {
	case "UNAVAILABLE", "INUSE", "SERVERBUG", "CORRUPTION":
		return fault.Temporary, true
	case "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED":
		return fault.Credentials, true
	case "PRIVACYREQUIRED":
		return fault.TLS, true
	case "NOPERM", "CONTACTADMIN", "OVERQUOTA", "TRYCREATE", "NONEXISTENT", "READ-ONLY":
		return fault.Refused, true
	case "TOOBIG", "LIMIT", "CANNOT":
		return fault.Held, true
	}
	return 0, false
}

// explained tells whether a code says why, so that a BAD with it does not speak
// against the extensions in use.
func explained(code string) bool {
	_, known := byCode(code)
	return known
}

// appendError says why a message was refused. What concerns the whole account
// gets the code of that; all else holds the message back and no other.
func appendError(address, folder string, s status) *fault.Error {
	code, known := byCode(s.code)
	if !known {
		code = fault.Held
	}
	err := fault.New(code, "%s refused a message for %q: %s", address, folder, describe(s)).
		WithResponse(s.code)
	text := strings.ToLower(s.text)
	switch {
	case throttled(s.code + " " + s.text):
		return throttle(err, s.text)
	case sasl.NotConnected(s.text):
		return notConnected(err)
	case s.code == "" && noFolder.MatchString(text):
		err.Code, err.Response = fault.Refused, "NONEXISTENT"
		return err.WithHint(goneHint)
	case s.code == "OVERQUOTA", vague(s) && (strings.Contains(text, "quota") || sasl.Full(s.text)):
		err.Code, err.Response = fault.Refused, "OVERQUOTA"
		return err.WithHint(fullHint)
	case inUse(s):
		return busy(err)
	case !known && strings.Contains(text, "server unavailable"):
		err.Code = fault.Temporary
		return err.WithHint("this server says so when the mailbox is full, too; check its quota")
	case s.kind == "NO" && vague(s) && sasl.Busy(s.text):
		err.Code = fault.Temporary
		return err.WithHint("%s", refusalHint(fault.Temporary))
	}
	return err.WithHint("%s", appendHint(s))
}

// vague tells of a refusal whose words say more than its code: LIMIT is about any limit
// (RFC 5530 §3).
func vague(s status) bool { return s.code == "LIMIT" || !explained(s.code) }

// goneHint is for a folder that somebody removed.
const goneHint = "the folder is gone; the next run makes it again"

// noFolder is how servers without response codes say so.
var noFolder = regexp.MustCompile(`(mailbox|folder)\b.{0,200}(doesn.?t exist|does not exist|not found)|no such (mailbox|folder)`)

// noRight is how they speak of rights. It may be a filter that means one message.
var noRight = regexp.MustCompile(`(permission|access) denied|no permission|not permitted`)

func appendHint(s status) string {
	switch {
	case s.code == "TRYCREATE", s.code == "NONEXISTENT":
		return goneHint
	case s.code == "TOOBIG":
		return "the message is too large for the destination; it stays on POP3"
	case s.code == "LIMIT":
		return "the server has a limit that this message goes beyond, and its operator can tell which; it stays on POP3"
	case s.code == "CLIENTBUG":
		return "please report this; the message stays on POP3"
	case s.code == "NOPERM", s.code == "READ-ONLY", s.code == "" && noRight.MatchString(strings.ToLower(s.text)):
		return "check that the user may write to this folder"
	}
	return "repair: wrap may get it accepted, inside an attachment"
}

func tooLarge(size, limit int64) *fault.Error {
	return fault.New(fault.Held, "too large for destination (%s > %s)", megabytes(size),
		megabytes(limit)).WithResponse("TOOBIG").WithHint("the message stays on POP3")
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// loginError says why a login was refused. What the words say of the password comes
// before what they say of limits.
func loginError(address string, s status) *fault.Error {
	code := loginClass(s)
	err := fault.New(code, "%s refused the login: %s", address, describe(s)).WithResponse(s.code)
	switch {
	case sasl.NotConnected(s.text):
		return notConnected(err)
	case throttled(s.text) && sasl.Judge(s.text) != fault.Credentials:
		return throttle(err, s.text)
	case code == fault.Temporary && inUse(s):
		return busy(err)
	case code == fault.Temporary && !explained(s.code), s.code == "LIMIT":
		return err.WithHint("the server is busy or limits connections; try again later")
	case s.code == "OVERQUOTA", code == fault.Refused && sasl.Full(s.text):
		return err.WithHint(fullHint)
	case code == fault.Credentials:
		return err.WithHint("check user name and password; the provider may demand an app password")
	}
	return err.WithHint("%s", refusalHint(code))
}

// loginClass is the class of a refused login, or of a BYE in the place of one.
func loginClass(s status) fault.Code {
	code, known := byCode(s.code)
	judged := sasl.Judge(s.text)
	switch {
	case s.code == "LIMIT":
		return fault.Temporary
	case known && code != fault.Held:
		return code
	case judged != 0:
		return judged
	case s.kind == "BAD":
		return fault.Protocol
	case s.kind == "BYE":
		return fault.Temporary
	}
	return fault.Credentials
}

// refusalHint says what to check where the server said no more than no.
func refusalHint(code fault.Code) string {
	switch code {
	case fault.Temporary:
		return "the server has trouble of its own; try again later"
	case fault.Credentials:
		return "check user name and password, and that the user may do this"
	case fault.TLS:
		return "it wants TLS first; set tls: implicit or starttls"
	case fault.Protocol:
		return "the server does not know what we say; ask its operator whether this is an IMAP4rev1 server"
	}
	return "check that the user may do this on the server; its operator or provider can tell"
}

// commandError turns the result of a go-imap command into one of ours. A broken
// connection explains itself: go-imap loses causes.
func (c *Conn) commandError(verb string, err error) error {
	var refusal *imap.Error
	if err == nil {
		return nil
	}
	if errors.As(err, &refusal) {
		return c.refusal(verb, status{
			kind: string(refusal.Type), code: string(refusal.Code), text: refusal.Text,
		})
	}
	if broken := c.wire.Broken(); broken != nil {
		return broken
	}
	return fault.New(fault.Protocol, "%s: %s: %w", c.wire.Address(), verb, err).WithHint("%s", brokenHint)
}

func (c *Conn) refusal(verb string, s status) error {
	code, known := byCode(s.code)
	switch {
	case s.kind == "BAD" && !known:
		code = fault.Protocol
	case !known || code == fault.Held:
		code = fault.Refused
	}
	err := fault.New(code, "%s refused to %s: %s", c.wire.Address(), verb, describe(s)).
		WithResponse(s.code)
	switch {
	case throttled(s.text):
		return throttle(err, s.text)
	case sasl.NotConnected(s.text):
		return notConnected(err)
	case inUse(s):
		return busy(err)
	}
	return err.WithHint("%s", refusalHint(code))
}

// inUse tells of a mailbox that another session has locked (RFC 5530 §3, INUSE): nothing is
// wrong with a message or with rights.
func inUse(s status) bool {
	return s.code == "INUSE" || s.kind == "NO" && !explained(s.code) && sasl.InUse(s.text)
}

func busy(err *fault.Error) *fault.Error {
	err.Code, err.Response = fault.Temporary, "INUSE"
	return err.WithHint("%s", sasl.InUseHint)
}

// notConnected is what a person has to mend, though the kind of the answer is BAD.
func notConnected(err *fault.Error) *fault.Error {
	err.Code = fault.Credentials
	return err.WithHint("%s", sasl.NotConnectedHint)
}

func describe(s status) string {
	text := s.kind
	if s.code != "" {
		text += " [" + s.code + "]"
	}
	return fault.Escape(strings.TrimSpace(text + " " + s.text))
}

func throttled(text string) bool {
	return containsAny(text, "throttl", "bandwidth", "backoff time", "rate limit")
}

func containsAny(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func throttle(err *fault.Error, text string) *fault.Error {
	err.Code = fault.Temporary
	least := time.Duration(0)
	if containsAny(text, "bandwidth") {
		least = bandwidthPause
	}
	return rest(err, text, least).WithHint("the server limits the account; popferry waits and goes on")
}

// rest sets how long a limited account is left alone: as long as the server wants, and no
// less than is known to be of use.
func rest(err *fault.Error, text string, least time.Duration) *fault.Error {
	asked := backoff(text)
	switch {
	case asked >= least:
		return err.WithAfter(asked)
	case containsAny(text, "bandwidth"):
		return err.WithRest(least, "the server limits the account's traffic, which can last up to 24 hours")
	}
	return err.WithRest(least, "the server limits the account")
}

// backoff reads "Suggested Backoff Time: 299961 milliseconds".
func backoff(text string) time.Duration {
	found := regexp.MustCompile(`(?i)backoff time:? *(\d{1,9}) *milliseconds`).FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// distrust turns off the extension that a BAD speaks against, for this session.
func (c *Conn) distrust(multi bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if multi {
		c.caps.MultiAppend = false
		return
	}
	c.caps.LiteralPlus, c.caps.LiteralMinus = false, false
}

// Distrust turns off what an earlier connection to the same server learned not to
// believe: a literal that the server did not expect has ended that one.
func (c *Conn) Distrust(earlier *Conn) {
	believed := earlier.Capabilities()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caps.MultiAppend = c.caps.MultiAppend && believed.MultiAppend
	c.caps.LiteralPlus = c.caps.LiteralPlus && believed.LiteralPlus
	c.caps.LiteralMinus = c.caps.LiteralMinus && believed.LiteralMinus
}
