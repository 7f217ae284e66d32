package imapd

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLiteral bounds the literals of commands that carry no message, maxMessage those that do.
	maxLiteral = 64 << 10
	maxMessage = 1 << 30
	// minusSize is the largest literal without a pause under LITERAL- (RFC 7888 §5).
	minusSize = 4096
)

// command is a command while it is read and carried out.
type command struct {
	tag, name string
	text      string   // behind the name; each literal is a NUL
	literals  [][]byte // nil for one that was not kept
	mailbox   string   // of an APPEND, known when its first message is announced
	messages  [][]byte // those of the literals that are messages

	announced bool   // the hook has seen it
	refused   string // the tagged reply, where the command is not to be carried out
	stored    []uint32
	after     func() // runs when OK was answered
}

// args parses the arguments.
func (c *command) args() ([]arg, error) {
	return parse(c.text, c.literals)
}

// line returns the command without its tag.
func (c *command) line() string {
	return strings.TrimRight(c.name+" "+c.text, " ")
}

// begin takes the tag and the name from the beginning of the text.
func (c *command) begin() {
	c.tag, c.text, _ = strings.Cut(c.text, " ")
	c.name, c.text, _ = strings.Cut(c.text, " ")
	c.name = strings.ToUpper(c.name)
	if c.name == "UID" {
		var name string
		name, c.text, _ = strings.Cut(c.text, " ")
		c.name += " " + strings.ToUpper(name)
	}
}

// takesMessage tells whether the next literal is a message: whatever comes behind the mailbox.
func (c *command) takesMessage() bool {
	if c.name != "APPEND" {
		return false
	}
	if c.announced {
		return true
	}
	args, _ := c.args()
	if len(args) == 0 || !args[0].isString() {
		return false
	}
	c.mailbox = args[0].text
	return true
}

// readCommand reads a command with its literals. It returns nil if the command was answered
// already, or the session is over.
func (s *session) readCommand() (*command, error) {
	c := &command{}
	for {
		line, err := s.readLine()
		if err != nil {
			return nil, err
		}
		if strings.ContainsRune(line, 0) {
			s.server.violation("NUL in a command")
			line = strings.ReplaceAll(line, "\x00", "?")
		}
		text, size, waits, isLiteral := cutLiteral(line)
		c.text += text
		if c.tag == "" {
			s.options = s.server.snapshot()
			c.begin()
		}
		if !isLiteral {
			return c, nil
		}
		more, err := s.readLiteral(c, size, waits)
		if err != nil || !more {
			return nil, err
		}
	}
}

// readLine reads up to CRLF, which it does not return.
func (s *session) readLine() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		if len(line) > 0 && errors.Is(err, io.EOF) {
			s.server.violation("the connection ended inside a command")
		}
		if len(line) == maxLine {
			s.server.violation("a command line longer than %d bytes", maxLine)
			s.reply("*", "BYE line too long")
		}
		return "", err
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		s.server.violation("a command line that ends in LF without CR")
		text = line[:len(line)-1]
	}
	return string(text), nil
}

// cutLiteral takes the announcement of a literal, "{5}" or "{5+}", from the end of a line.
func cutLiteral(line string) (text string, size int64, waits, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return line, 0, false, false
	}
	number, plus := strings.CutSuffix(line[open+1:len(line)-1], "+")
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil || size < 0 {
		return line, 0, false, false
	}
	return line[:open], size, !plus, true
}

// readLiteral reads a literal that was announced. more is false if the command is answered.
func (s *session) readLiteral(c *command, size int64, waits bool) (more bool, err error) {
	if !waits && !s.takesLiteral(c, size) {
		return false, nil
	}
	message := c.takesMessage()
	if message && !c.announced && s.announce(c) {
		return false, nil
	}
	if c.refused == "" {
		c.refused = s.refuseLiteral(c, size, message)
	}
	if c.refused != "" && waits {
		s.server.count(func(n *Counters) { n.Commands[c.name]++ })
		s.answer(c, c.refused)
		return false, nil
	}
	if waits {
		s.out.WriteString("+ go ahead\r\n")
	}
	c.text += "\x00"
	if c.refused != "" {
		c.literals = append(c.literals, nil)
		_, err := io.CopyN(io.Discard, s.r, size)
		return true, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(s.r, data); err != nil {
		return false, err
	}
	c.literals = append(c.literals, data)
	if message {
		return !s.arrived(c, data), nil
	}
	return true, nil
}

// takesLiteral tells whether the client may send a literal without waiting.
func (s *session) takesLiteral(c *command, size int64) bool {
	switch s.options.Literals {
	case LiteralSync:
		s.server.violation("%s with a literal that does not wait, without LITERAL+", c.name)
		s.answer(c, "BAD syntax error")
		return false
	case LiteralMinus:
		if size > minusSize {
			s.server.violation("%s with a literal of %d bytes under LITERAL-", c.name, size)
			s.reply(c.tag, "BAD [TOOBIG] literal too large for LITERAL-")
			s.reply("*", "BYE cannot find the next command")
			s.end(FIN, true)
			return false
		}
	}
	return true
}

// refuseLiteral returns the tagged reply if a literal is not to be read, or "".
func (s *session) refuseLiteral(c *command, size int64, message bool) string {
	switch {
	case message:
		return s.refuseMessage(c, size)
	case size > maxLiteral:
		return "BAD literal too long"
	default:
		return ""
	}
}
