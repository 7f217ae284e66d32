package pop

import (
	"bufio"
	"bytes"
	"errors"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

// RFC 2449 §4 gives a reply line 512 octets; servers with long error texts or
// SASL challenges need more.
const maxStatus = 8 << 10

// kind is what the first word of a reply says.
type kind int

const (
	noReply  kind = iota
	positive      // +OK
	negative      // -ERR
	more          // "+ ", a SASL challenge (RFC 5034 §4)
)

// status is the first line of a reply.
type status struct {
	ok   bool
	more bool
	// code is the response code in upper case without brackets (RFC 2449 §8).
	code string
	// text is the rest of the line, code included.
	text string
	// bare tells that the line ended in LF without CR: so will a body.
	bare bool
}

// parseStatus reads a reply line without its line end. RFC 1939 §3 wants the
// indicators in upper case; servers exist that do not.
func parseStatus(line []byte) (status, bool) {
	kind, rest := classify(line)
	if kind == noReply {
		return status{}, false
	}
	text := strings.TrimLeft(string(rest), " \t")
	s := status{ok: kind == positive, more: kind == more, text: text}
	if kind == negative {
		s.code = responseCode(text)
	}
	return s, true
}

func classify(line []byte) (kind, []byte) {
	for _, indicator := range []struct {
		word string
		kind kind
	}{{"+OK", positive}, {"-ERR", negative}, {"+", more}} {
		rest, ok := cutPrefixFold(line, indicator.word)
		if ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t') {
			return indicator.kind, rest
		}
	}
	return noReply, nil
}

func cutPrefixFold(line []byte, prefix string) ([]byte, bool) {
	if len(line) < len(prefix) || !strings.EqualFold(string(line[:len(prefix)]), prefix) {
		return nil, false
	}
	return line[len(prefix):], true
}

// responseCode takes "IN-USE" out of "[IN-USE] mailbox is locked" (RFC 2449 §8).
func responseCode(text string) string {
	inside, ok := strings.CutPrefix(text, "[")
	if !ok {
		return ""
	}
	code, _, ok := strings.Cut(inside, "]")
	if !ok || strings.ContainsAny(code, " \t[") {
		return ""
	}
	return strings.ToUpper(code)
}

// readStatus reads the first line of a reply. What is not one ends the session:
// from here on nobody knows which octets answer which command. Shown makes text
// of the server fit to print.
func readStatus(conn *wire.Conn, shown func(string) string) (status, error) {
	line, bare, err := readLine(conn, maxStatus)
	if err != nil {
		return status{}, err
	}
	reply, ok := parseStatus(line)
	if !ok {
		return status{}, conn.Break(fault.New(fault.Protocol,
			"%s: %w: \"%s\"", conn.Address(), errNoReply, shown(string(line))).
			WithHint("the server lost track of the conversation, or something in between changes it"))
	}
	reply.bare = bare
	return reply, nil
}

// readLine returns the next line without its end, valid until the next read, and
// whether that was a bare LF. A longer line than limit ends the session.
func readLine(conn *wire.Conn, limit int) (line []byte, bare bool, err error) {
	line, err = conn.Reader().ReadSlice('\n')
	if len(line) > limit || errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, lineTooLong(conn, limit)
	}
	if err != nil {
		return nil, false, err
	}
	line, bare = trimEnd(line)
	return line, bare, nil
}

func lineTooLong(conn *wire.Conn, limit int) error {
	err := fault.New(fault.Protocol, "%s sent a line of more than %d bytes: %w",
		conn.Address(), limit, wire.ErrLineTooLong).
		WithHint("check that this host and port are those of a POP3 server")
	conn.Break(err)
	return err
}

func trimEnd(line []byte) (trimmed []byte, bare bool) {
	trimmed = bytes.TrimSuffix(line, []byte("\n"))
	without := bytes.TrimSuffix(trimmed, []byte("\r"))
	return without, len(without) == len(trimmed)
}
