package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

// pop is the POP3 side of the raw limit.
type pop struct {
	*limit
	r *bufio.Reader
	w io.Writer
}

// fetch reads all messages into l.messages, which it closes.
func (l *limit) fetch(ctx context.Context) error {
	defer close(l.messages)
	conn, err := l.dial(ctx, l.source)
	if err != nil {
		return err
	}
	p := &pop{limit: l, r: bufio.NewReaderSize(conn, bufferSize), w: conn}
	count, ahead, err := p.open()
	if err != nil {
		return fmt.Errorf("pop3: %w", err)
	}
	if err := p.retrieve(ctx, count, ahead); err != nil {
		return fmt.Errorf("pop3: %w", err)
	}
	return nil
}

// open logs in and returns the number of messages and how many commands may be under way.
func (p *pop) open() (count, ahead int, err error) {
	if _, err := p.reply(); err != nil {
		return 0, 0, err
	}
	capabilities, err := p.capabilities()
	if err != nil {
		return 0, 0, err
	}
	commands := []string{"USER " + p.user, "PASS " + p.password, "STAT"}
	ahead = 1
	if has(capabilities, "PIPELINING") {
		ahead = window
		commands = []string{strings.Join(commands, "\r\n")}
	}
	var answer string
	for _, command := range commands {
		if _, err := io.WriteString(p.w, command+"\r\n"); err != nil {
			return 0, 0, err
		}
		for range strings.Count(command, "\r\n") + 1 {
			if answer, err = p.reply(); err != nil {
				return 0, 0, err
			}
		}
	}
	_, err = fmt.Sscanf(answer, "+OK %d", &count)
	return count, ahead, err
}

func (p *pop) capabilities() (string, error) {
	if _, err := io.WriteString(p.w, "CAPA\r\n"); err != nil {
		return "", err
	}
	if _, err := p.reply(); err != nil {
		return "", err
	}
	list, err := p.body(nil)
	return string(list), err
}

// reply reads a line that has to say +OK.
func (p *pop) reply() (string, error) {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(line, "+OK") {
		return "", fmt.Errorf("refused: %.100q", line)
	}
	return line, nil
}

// retrieve keeps between half the window and all of it under way.
func (p *pop) retrieve(ctx context.Context, count, ahead int) error {
	asked := 0
	for n := 1; n <= count; n++ {
		if asked-n < ahead/2 && asked < count {
			upTo := min(count, n-1+ahead)
			if err := p.ask(asked+1, upTo); err != nil {
				return err
			}
			asked = upTo
		}
		if _, err := p.reply(); err != nil {
			return err
		}
		body, err := p.body(p.buffer())
		if err != nil {
			return err
		}
		select {
		case p.messages <- body:
			p.fetched++
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// ask sends RETR for messages first to last in one packet.
func (p *pop) ask(first, last int) error {
	var commands []byte
	for n := first; n <= last; n++ {
		commands = fmt.Appendf(commands, "RETR %d\r\n", n)
	}
	_, err := p.w.Write(commands)
	return err
}

// body reads up to the line with the lone dot (RFC 1939 §3) into b. It looks for that line in
// whole buffers, not line by line; the two octets at the start are those that end the reply.
func (p *pop) body(b []byte) ([]byte, error) {
	const crlf = 2
	end := []byte("\r\n.\r\n")
	b = append(b, "\r\n"...)
	for {
		if _, err := p.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, err := p.r.Peek(p.r.Buffered())
		if err != nil {
			return nil, err
		}
		before := len(b)
		from := max(0, before-len(end)+1)
		b = append(b, chunk...)
		if at := bytes.Index(b[from:], end); at >= 0 {
			at += from
			_, err := p.r.Discard(at + len(end) - before)
			return unstuff(b[:at+crlf])[crlf:], err
		}
		if _, err := p.r.Discard(len(chunk)); err != nil {
			return nil, err
		}
	}
}

// unstuff takes away the dot that was put before another one at the start of a line.
func unstuff(b []byte) []byte {
	stuffed := []byte("\r\n.")
	if !bytes.Contains(b, stuffed) {
		return b
	}
	return bytes.ReplaceAll(b, stuffed, stuffed[:2])
}
