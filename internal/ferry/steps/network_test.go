//go:build !race

package steps_test

import (
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// TestNetwork has the rows of the list of network faults, as far as they need no
// network.
func TestNetwork(t *testing.T) { table(t, networkFaults()) }

func networkFaults() []row {
	return []row{
		{id: "N4", name: "no greeting", code: fault.Temporary, cure: obedient, says: "said nothing",
			fault: silence("GREETING", 0)},
		{id: "N5", name: "cut in a greeting", says: "closed the connection", code: fault.Temporary, cure: obedient,
			fault: falls(cut, "GREETING", 0, 1000, "+OK wel")},
		{id: "N5", name: "cut in a listing",
			says: "closed the connection after LIST", code: fault.Temporary, limit: 10 * time.Minute, cure: obedient,
			fault: falls(cut, "LIST", 0, 1000, "+OK\r\n1 195\r\n2 1")},
		{id: "N5", name: "cut in a UIDL",
			says: "closed the connection after UIDL", code: fault.Temporary, limit: 10 * time.Minute, cure: obedient,
			fault: falls(cut, "UIDL", 0, 1000, "+OK\r\n1 195\r\n")},
		{id: "N5", name: "cut in a message, once", fault: falls(cut, "RETR", 2, 1, "+OK\r\nReceived: from a by b\r\n")},
		{id: "N5", name: "cut in a message, always",
			says: "the session ends when it is asked for", code: fault.Held, limit: 10 * time.Minute, cure: healed,
			fault: falls(cut, "RETR", 2, 1000, "+OK\r\nReceived: from a by b\r\n")},
		{id: "N5", name: "cut within the terminator",
			says: "the session ends when it is asked for", code: fault.Held, limit: 10 * time.Minute, cure: healed,
			fault: falls(cut, "RETR", 2, 1000, strings.TrimSuffix(retrieved(letter(1)), "\r\n"))},
		{id: "N6", name: "half open from the listing on",
			says: "no progress for 2m after LIST", code: fault.Temporary, limit: 30 * time.Minute,
			fault: falls(silent, "LIST", 0, 1000, "+OK\r\n1 1"), cure: obedient},
		{id: "N6", name: "half open in a message",
			says: "no progress for 2m", code: fault.Held, limit: 30 * time.Minute,
			fault: falls(silent, "RETR", 2, 1000, "+OK\r\nReceived"), cure: healed},
		{id: "N6", name: "half open in every message",
			says: "no progress for 2m", mail: letters(0, 20), code: fault.Temporary,
			limit: 30 * time.Minute, fault: falls(silent, "RETR", 0, 1000, "+OK\r\nReceived"), cure: healed,
			also: func(p *player, r ferry.Report) {
				if r.Totals.Held > 3 {
					p.Errorf("%d held", r.Totals.Held)
				}
			}},
		{id: "N9", name: "HTML", code: fault.Protocol, cure: obedient, says: "not a POP3 server",
			fault: answers(map[string]string{"GREETING": "HTTP/1.1 400 Bad Request\r\n\r\n<html>\r\n"})},
		{id: "N10", name: "one reply too many before the listing",
			says: "the server lost count of its answers", code: fault.Protocol, cure: obedient,
			fault: answers(map[string]string{"AUTH": "+OK\r\n+OK\r\n"})},
		{id: "N10", name: "a message too many",
			says: "ended message 2 early", code: fault.Held, cure: healed, limit: 10 * time.Minute,
			fault: answers(map[string]string{"RETR 2": retrieved(letter(1)) + "Subject: more\r\n\r\n.\r\n"})},
		{id: "N11", name: "closed after the login",
			says: "closed the connection", code: fault.Temporary, limit: 10 * time.Minute, cure: obedient,
			fault: falls(cut, "STAT", 0, 1000, ""),
			also: func(p *player, _ ferry.Report) {
				if n := p.w.Drops[0].Counters().Sessions; n > 10 {
					p.Errorf("%d sessions", n)
				}
			}},
	}
}

// Ways for a connection to fall.
const (
	silent = time.Duration(0)
	cut    = time.Second
)

// falls has the server say a part of a reply and nothing behind it in that session,
// so many times. The connection ends, or not, when it was silent for a while.
func falls(end time.Duration, verb string, number, times int, part string) func(*voyage.World) {
	return func(w *voyage.World) {
		left, fallen := times, false
		setReply(w, func(cmd string, n int) ([]byte, bool) {
			fallen = fallen && cmd != "GREETING"
			if fallen {
				return nil, true
			}
			if cmd != verb || number != 0 && n != number || left == 0 {
				return nil, false
			}
			left--
			fallen = true
			if end != silent {
				time.AfterFunc(end, w.Drops[0].Cut)
			}
			return []byte(part), true
		})
	}
}
