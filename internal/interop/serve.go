package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// served is what a source gives over POP3 of the mail that was put into its store.
type served struct {
	Messages [][]byte
	Refused  []string // what it says instead of giving a message
}

// refusals returns the answers as dump wants them.
func (s served) refusals() [][]byte {
	var lines [][]byte
	for _, line := range s.Refused {
		lines = append(lines, []byte(line))
	}
	return lines
}

// readLimit is for one answer of a server; none of them takes longer for a message of 1 MB.
const readLimit = time.Minute

// serve reads a maildrop with the fewest commands: no list, no pipelining, one message after the
// other. A message that costs the connection counts as refused.
func serve(address, user, password string) (served, error) {
	var s served
	for next, failures := 1, 0; ; next++ {
		var count int
		var err error
		next, count, err = s.session(address, user, password, next)
		if err == nil {
			return s, nil
		}
		if failures++; failures > 10 || count == 0 {
			return s, fmt.Errorf("read %s of %s: %w", user, address, err)
		}
		s.Refused = append(s.Refused, fmt.Sprintf("message %d: %v", next, err))
		if next == count {
			return s, nil
		}
	}
}

// session reads from message next on. On an error it returns the number that it was at.
func (s *served) session(address, user, password string, next int) (at, count int, err error) {
	c, err := dialPOP(address)
	if err != nil {
		return next, 0, err
	}
	defer c.conn.Close()
	if count, err = c.login(user, password); err != nil {
		return next, 0, err
	}
	for ; next <= count; next++ {
		line, err := c.command(fmt.Sprintf("RETR %d", next))
		if err != nil {
			return next, count, err
		}
		if !strings.HasPrefix(line, "+OK") {
			s.Refused = append(s.Refused, fmt.Sprintf("message %d: %s", next, line))
			continue
		}
		raw, err := c.message()
		if err != nil {
			return next, count, err
		}
		s.Messages = append(s.Messages, raw)
	}
	// No QUIT: the session is to change nothing.
	return next, count, nil
}

// popConn is a POP3 session (RFC 1939).
type popConn struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialPOP(address string) (*popConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &popConn{conn, bufio.NewReader(conn)}
	if _, err := c.line(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// line returns one line without its end.
func (c *popConn) line() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(readLimit)); err != nil {
		return "", err
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (c *popConn) command(text string) (string, error) {
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", text); err != nil {
		return "", err
	}
	return c.line()
}

// login logs in and returns the number of messages. Where UTF8 is offered it is asked for, since
// Courier gives a notice in place of some mail otherwise (RFC 6856 §2).
func (c *popConn) login(user, password string) (int, error) {
	line, err := c.command("CAPA")
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(line, "+OK") {
		list, err := c.body()
		if err != nil {
			return 0, err
		}
		if bytes.Contains(list, []byte("UTF8")) {
			if _, err := c.command("UTF8"); err != nil {
				return 0, err
			}
		}
	}
	if _, err := c.command("USER " + user); err != nil {
		return 0, err
	}
	if line, err = c.command("PASS " + password); err != nil || !strings.HasPrefix(line, "+OK") {
		return 0, errors.Join(fmt.Errorf("login: %q", line), err)
	}
	if line, err = c.command("STAT"); err != nil {
		return 0, err
	}
	words := strings.Fields(line)
	if len(words) < 2 {
		return 0, fmt.Errorf("STAT: %q", line)
	}
	return strconv.Atoi(words[1])
}

// message reads a body to its true end, which is told by the answer to another command: a server
// that forgets to double a dot gives a body with several ends.
func (c *popConn) message() ([]byte, error) {
	raw, err := c.body()
	if err != nil {
		return nil, err
	}
	line, err := c.command("NOOP")
	for err == nil && !strings.HasPrefix(line, "+OK") {
		if line != "." {
			return nil, fmt.Errorf("after a message: %q", line)
		}
		raw = append(raw, ".\r\n"...)
		line, err = c.line()
	}
	return raw, err
}

// body reads up to CRLF "." CRLF and takes the dots away that were added (RFC 1939 §3).
func (c *popConn) body() ([]byte, error) {
	var body []byte
	start := true
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(readLimit)); err != nil {
			return nil, err
		}
		line, err := c.in.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if start && line[0] == '.' {
			if string(line) == ".\r\n" {
				return body, nil
			}
			line = line[1:]
		}
		body = append(body, line...)
		start = bytes.HasSuffix(line, []byte("\r\n"))
	}
}
