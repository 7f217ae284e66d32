package pop

import (
	"errors"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
)

var (
	// ErrNoTop is returned, or given for a message, when the server has no TOP.
	ErrNoTop = errors.New("the server has no TOP command")
	// ErrEnough is what a callback of [Maildrop.Retrieve] returns to have no more messages
	// asked for. The session goes on.
	ErrEnough = errors.New("no more messages are wanted")
	// ErrTopTooLong is the cause when an answer to TOP goes on and on: the session has
	// ended, and the message is best asked for with RETR.
	ErrTopTooLong = errors.New("too long an answer to TOP")
	// ErrEndedEarly is the cause when what follows the end of a message shows
	// that it was not the end: the server does not double the dots of lines that
	// start with one (RFC 1939 §3). The message that was being read is truncated
	// and its body never gives io.EOF.
	ErrEndedEarly = errors.New("the server ended the message early")
	// ErrBadEnd is the cause when the server seems to have ended a message, but with
	// something else than a line with a single dot: only its silence told.
	ErrBadEnd = errors.New("a dot that is not followed by CRLF ends no message")
	// ErrNotRemoved is the cause when QUIT reports that some of the deleted
	// messages were not removed (RFC 1939 §6).
	ErrNotRemoved = errors.New("some deleted messages were not removed")
	// ErrAbandoned is the cause when a message that the callback did not read to
	// its end was too long to be skipped, so that the session had to end.
	ErrAbandoned = errors.New("the rest of the message is too long to skip")

	// ErrOutOfStep is the cause when the server's answers are not those to what was
	// asked: one was left out, or came twice. The body that was being read may be that
	// of another message and never gives io.EOF; those before it are what they should
	// be.
	ErrOutOfStep = errors.New("the server lost count of its answers")

	errNoReply        = errors.New("not a POP3 reply")
	errCAPAUnanswered = errors.New("CAPA was not answered")
	errOneLine        = errors.New("AUTH with an initial response ended the session")
)

const unreadableHint = "the server can't read this maildrop; one damaged message may be the cause: ask its operator"

// byCode classifies response codes (RFC 2449 §8.1, RFC 3206 §4).
var byCode = map[string]fault.Code{
	"IN-USE":      fault.Temporary,
	"LOGIN-DELAY": fault.Temporary,
	"SYS/TEMP":    fault.Temporary,
	"SYS/PERM":    fault.Refused,
	"AUTH":        fault.Credentials,
}

// laterWords are in refusals without a code, of anything but a login, that pass by themselves:
// a lock, a limit, or the farewell of a server that gave up waiting. Of a message "internal
// error" says that it can't be read, and never will be.
var laterWords = []string{
	" lock", "busy", "wait", "in use", "try again", "later", "temporar", "too many", "exceed", "inactiv", "idle",
	"autologout", "timeout", "timed out", "minimum time", "login interval", "too frequent", "too often",
}

func passes(text string) bool { return containsAny(" "+text, laterWords) }

// unsupportedWords are in refusals of a command that the server does not know.
var unsupportedWords = []string{
	"mechanism", "not supported", "unsupported", "unknown command", "unrecognized",
	"unrecognised", "not implemented", "unimplemented", "invalid command", "bad command",
}

func containsAny(text string, words []string) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// refusal turns -ERR into an error. The fallback is the class when neither a
// code nor the words tell.
func (m *Maildrop) refusal(what string, reply status, fallback fault.Code) *fault.Error {
	err := refuse(m.conn.Address()+": "+what+" refused", reply, m.shown(reply.text), fallback)
	if err.Response == "LOGIN-DELAY" && m.caps.LoginDelay > 0 {
		err.After = m.caps.LoginDelay + time.Second // its clock may be behind ours
	}
	return err
}

func refuse(what string, reply status, shown string, fallback fault.Code) *fault.Error {
	code := classOf(reply, fallback)
	err := fault.New(code, "%s: \"%s\"", what, shown).WithResponse(reply.code)
	switch {
	case reply.code == "IN-USE", code == fault.Temporary && sasl.InUse(reply.text): // old servers have no codes
		err.Hint = "the password is right; another session, or an earlier one of ours that was " +
			"cut, holds the maildrop for up to 10 minutes"
	case reply.code == "LOGIN-DELAY":
		err.Hint = "the password is right; the server wants a pause between logins"
	case sasl.NotConnected(reply.text):
		err.Hint = sasl.NotConnectedHint
	case code == fault.Temporary:
		err.Hint = fault.TroubleHint
	case code == fault.Credentials:
		err.Hint = "check the user name (some servers want the whole address), the password (some " +
			"want one made for this program), and that POP3 is enabled for the account"
	case code == fault.Refused && sasl.Unreadable(reply.text):
		err.Hint = unreadableHint
	case code == fault.Refused:
		err.Hint = "ask the server's operator"
	case code == fault.Held:
		err.Hint = "the server can't deliver this message; the others go on"
	}
	return err
}

func classOf(reply status, fallback fault.Code) fault.Code {
	if code, ok := byCode[reply.code]; ok {
		return code
	}
	judged := sasl.Judge(reply.text)
	switch {
	case sasl.NotConnected(reply.text):
		return fault.Credentials
	case fallback == fault.Credentials && judged != 0:
		return judged
	// RFC 3206 §4: codes are hierarchical; an unknown SYS is still no bad password.
	case strings.HasPrefix(reply.code, "SYS"), fallback != fault.Credentials && passes(reply.text):
		return fault.Temporary
	}
	return fallback
}

func (m *Maildrop) shown(text string) string { return m.options.shown(text) }

// shown makes server text safe to print.
func (o Options) shown(text string) string {
	return fault.Escape(o.credentials().Hide(text))
}
