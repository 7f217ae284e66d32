package pop

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// maxLine bounds a line of CAPA and LIST.
	maxLine = 1 << 10
	// maxCapabilities bounds the lines of a CAPA reply.
	maxCapabilities = 256
	// maxLoginDelay is the longest LOGIN-DELAY that is believed.
	maxLoginDelay = 24 * time.Hour
	// capaLimit bounds the wait for CAPA: servers that do not know it should
	// refuse it, but some never answer.
	capaLimit = 30 * time.Second
)

// Capabilities is what a server said about itself (RFC 2449 §6).
type Capabilities struct {
	// Known tells that the server answered CAPA at all.
	Known bool
	// Unsure tells that it may have rules of which nobody knows: it did not answer
	// CAPA, or did so before the login only, although it differs by user.
	Unsure bool
	// Pipelining, Top, UIDL and STLS are the commands and habits of that name.
	Pipelining, Top, UIDL, STLS bool
	// UTF8 is the mode of RFC 6856 §2.1; UTF8User allows UTF-8 in credentials.
	UTF8, UTF8User bool
	// RespCodes and AuthRespCode promise response codes (RFC 2449 §6.4,
	// RFC 3206 §6).
	RespCodes, AuthRespCode bool
	// SASL are the mechanisms for AUTH in upper case (RFC 5034 §3).
	SASL []string
	// LoginDelay is the least time between two logins (RFC 2449 §6.5).
	LoginDelay time.Duration
	// Expire is "" when not said, "NEVER", or after how many days the server
	// removes mail by itself (RFC 2449 §6.7).
	Expire string
	// Implementation names the server's software (RFC 2449 §6.9).
	Implementation string

	// perUser tells that values differ after the login (RFC 2449 §6.5, §6.7).
	perUser bool
}

// Capabilities returns what the server said last.
func (m *Maildrop) Capabilities() Capabilities {
	caps := m.caps
	caps.SASL = slices.Clone(caps.SASL)
	return caps
}

// askCAPA asks before the login.
func (m *Maildrop) askCAPA(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, capaLimit)
	defer cancel()
	defer m.conn.Begin(limited)()
	answered := false
	err := m.exchange(call{line: "CAPA", multiline: true, reply: func(reply status) error {
		answered = true
		return m.readCAPA(reply)
	}})
	switch {
	case ctx.Err() != nil:
		return err
	case !answered && fault.CodeOf(err) == fault.Temporary:
		return fmt.Errorf("%w: %w", errCAPAUnanswered, err)
	case err != nil && limited.Err() != nil:
		return fault.New(fault.Temporary, "%s did not end its answer to CAPA within %s",
			m.conn.Address(), fault.Span(capaLimit)).WithHint("the server or the link is too slow; try again later")
	}
	return err
}

// readCAPA reads the rest of the reply (RFC 2449 §5) and replaces what was known.
func (m *Maildrop) readCAPA(reply status) error {
	if !reply.ok {
		return m.capaRefused(reply)
	}
	caps, err := m.parseCAPA()
	if err != nil {
		return err
	}
	m.caps, m.recheck = caps, false
	return nil
}

// parseCAPA reads the lines of the reply.
func (m *Maildrop) parseCAPA() (Capabilities, error) {
	caps := Capabilities{Known: true}
	lines := 0
	err := m.readLines(maxLine, func(line []byte) error {
		if lines++; lines > maxCapabilities {
			return m.broken("%s: CAPA lists more than %d capabilities", m.conn.Address(),
				maxCapabilities)
		}
		caps.add(string(line))
		return nil
	})
	return caps, err
}

// capaRefused tells a server that knows no CAPA from one that is out of sorts, of whose
// rules nothing is known: with EXPIRE 0 (RFC 2449 §6.7) a QUIT would remove mail.
func (m *Maildrop) capaRefused(reply status) error {
	err := m.refusal("CAPA", reply, fault.Held)
	if (err.Code == fault.Temporary || err.Code == fault.Refused) && !unknown(reply) {
		return err
	}
	m.caps.Unsure = m.recheck
	return nil
}

// add takes one line of the list. Capabilities that nobody needs are skipped, as
// RFC 2449 §5 demands, and so are arguments that make no sense.
func (c *Capabilities) add(line string) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return
	}
	arguments := fields[1:]
	switch strings.ToUpper(fields[0]) {
	case "PIPELINING":
		c.Pipelining = true
	case "TOP":
		c.Top = true
	case "UIDL":
		c.UIDL = true
	case "STLS":
		c.STLS = true
	case "RESP-CODES":
		c.RespCodes = true
	case "AUTH-RESP-CODE":
		c.AuthRespCode = true
	case "UTF8":
		c.UTF8, c.UTF8User = true, containsFold(arguments, "USER")
	case "SASL":
		c.SASL = append(c.SASL, upper(arguments)...)
	case "LOGIN-DELAY":
		c.LoginDelay = loginDelay(arguments)
		c.perUser = c.perUser || containsFold(arguments, "USER")
	case "EXPIRE":
		c.Expire = expire(arguments)
		c.perUser = c.perUser || containsFold(arguments, "USER")
	case "IMPLEMENTATION":
		c.Implementation = strings.Join(arguments, " ")
	}
}

func upper(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = strings.ToUpper(word)
	}
	return all
}

func containsFold(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}

func loginDelay(arguments []string) time.Duration {
	if len(arguments) == 0 {
		return 0
	}
	seconds, err := strconv.Atoi(arguments[0])
	if err != nil || seconds < 0 {
		return 0
	}
	if seconds > int(maxLoginDelay/time.Second) {
		return maxLoginDelay
	}
	return time.Duration(seconds) * time.Second
}

func expire(arguments []string) string {
	if len(arguments) == 0 {
		return ""
	}
	value := strings.ToUpper(arguments[0])
	if days, err := strconv.ParseUint(value, 10, 31); err == nil {
		return strconv.FormatUint(days, 10)
	}
	if value == "NEVER" {
		return value
	}
	return ""
}

// readLines reads the lines of a reply up to its terminator (RFC 1939 §3) and
// undoes the dots. Line ends may be bare: nothing in such lists depends on it.
func (m *Maildrop) readLines(limit int, each func(line []byte) error) error {
	for total := 0; ; {
		line, _, err := readLine(m.conn, limit)
		if err != nil {
			return err
		}
		if total += len(line) + len("\r\n"); total > maxListing {
			return m.broken("%s sent a listing of more than %d MiB", m.conn.Address(), maxListing>>20)
		}
		if bytes.Equal(line, []byte(".")) {
			return nil
		}
		if err := each(bytes.TrimPrefix(line, []byte("."))); err != nil {
			return err
		}
	}
}
