package imapd

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Gmail behaves as Gmail's IMAP: there are no literals without a pause and one message to a
// command, a message that it has already gets OK and is thrown away, and in 24 hours it takes so
// many bytes and then no more.
func Gmail(day int64) Options {
	return Options{
		Literals: LiteralSync, NoMultiAppend: true, Capabilities: []string{"X-GM-EXT-1"},
		SpecialUse: map[string]string{
			"[Gmail]/All Mail": `\All`, "[Gmail]/Sent Mail": `\Sent`, "[Gmail]/Spam": `\Junk`,
			"[Gmail]/Trash": `\Trash`, "[Gmail]/Drafts": `\Drafts`,
		},
		AppendLimit: 35651584, DropDuplicates: true, Reply: (&allowance{day: day}).reply,
	}
}

// allowance is what a user may append in a day.
type allowance struct {
	day   int64
	mu    sync.Mutex
	from  time.Time
	spent int64
}

func (a *allowance) reply(e Event) Action {
	if e.Command != "APPEND" || e.Stage != AtStore {
		return Action{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.from) >= 24*time.Hour {
		a.from, a.spent = now, 0
	}
	size := int64(0)
	for _, m := range e.Messages {
		size += int64(len(m))
	}
	if a.spent+size > a.day {
		return Action{Reply: "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)"}
	}
	a.spent += size
	return Action{}
}

// Exchange behaves as the IMAP of Exchange Online: one message to a command, no reason for a
// message that it dislikes, no word after ten errors in a session, and so many APPENDs in a
// minute. It writes fields of its own into what it stores.
func Exchange(minute int, dislikes func(msg []byte) bool) Options {
	return Options{
		NoMultiAppend: true,
		Transform:     addExchangeFields,
		Refuse: func(msg []byte) string {
			if dislikes(msg) {
				return "BAD Command Argument Error. 11"
			}
			return ""
		},
		Reply: (&patience{minute: minute, errors: map[int]int{}}).reply,
	}
}

func addExchangeFields(msg []byte) []byte {
	header, body := split(msg)
	return bytes.Join([][]byte{header, []byte("X-MS-Exchange-Organization-AuthAs: Internal\r\n" +
		"X-MS-Has-Attach:\r\n"), body}, nil)
}

// patience is what Exchange bears of a user.
type patience struct {
	minute int
	mu     sync.Mutex
	from   time.Time
	seen   int
	errors map[int]int // by connection
}

// exchangeErrors is how many errors end a session.
const exchangeErrors = 10

func (p *patience) reply(e Event) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case e.Command == "APPEND" && e.Stage == AtStore:
		return p.throttle(time.Now())
	case e.Stage == AtReply && strings.HasPrefix(e.Text, "BAD"):
		if p.errors[e.Conn]++; p.errors[e.Conn] >= exchangeErrors {
			return Action{Reply: e.Text, Bye: "Connection closed. 14"}
		}
	}
	return Action{}
}

func (p *patience) throttle(now time.Time) Action {
	if now.Sub(p.from) >= time.Minute {
		p.from, p.seen = now, 0
	}
	if p.seen++; p.seen <= p.minute {
		return Action{}
	}
	return Action{Reply: fmt.Sprintf("NO Request is throttled. Suggested Backoff Time: %d milliseconds",
		p.from.Add(time.Minute).Sub(now).Milliseconds()+1)}
}

// Yahoo behaves as Yahoo's IMAP: a message has to end in CRLF, and there is a limit to the
// messages in one answer.
func Yahoo() Options {
	return Options{
		NoMultiAppend: true, MessageLimit: 1000,
		Refuse: func(msg []byte) string {
			if !bytes.HasSuffix(msg, []byte("\r\n")) {
				return "BAD [CLIENTBUG] APPEND Additional arguments found after last expected argument"
			}
			return ""
		},
	}
}
