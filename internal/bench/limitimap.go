package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// lastTag is that of the command behind the last APPEND.
const lastTag = "last"

// imap is one connection of the IMAP side of the raw limit.
type imap struct {
	*limit
	r           *bufio.Reader
	w           *bufio.Writer
	plus, multi bool // LITERAL+ (RFC 7888) and MULTIAPPEND (RFC 3502)

	commands int           // APPENDs that were begun
	held     int           // messages in the one that is not yet ended
	sent     int           // messages
	proceed  chan struct{} // the server waits for a literal
}

// append sends what arrives in l.messages, over one connection where LITERAL+ lets it flow, over
// several where the server wants to be asked before each message.
func (l *limit) append(ctx context.Context) error {
	first, err := l.enter(ctx)
	if err != nil {
		return err
	}
	if first.plus {
		return l.carry(ctx, first)
	}
	var work sync.WaitGroup
	failures := make([]error, lanes)
	for i := range lanes {
		work.Go(func() {
			lane := first
			if i > 0 {
				if lane, failures[i] = l.enter(ctx); failures[i] != nil {
					return
				}
			}
			failures[i] = l.carry(ctx, lane)
		})
	}
	work.Wait()
	return errors.Join(failures...)
}

// enter connects and logs in. A server that tells what it can do unasked is not asked.
func (l *limit) enter(ctx context.Context) (*imap, error) {
	conn, err := l.dial(ctx, l.destination)
	if err != nil {
		return nil, err
	}
	i := &imap{limit: l, r: bufio.NewReaderSize(conn, 4<<10),
		w: bufio.NewWriterSize(conn, bufferSize), proceed: make(chan struct{}, 1)}
	if _, err := i.r.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("imap: %w", err)
	}
	said, err := i.command("login", fmt.Sprintf("LOGIN %s %s", l.recipient, l.password))
	if err == nil && !strings.Contains(strings.ToUpper(said), "CAPABILITY") {
		said, err = i.command("can", "CAPABILITY")
	}
	i.plus, i.multi = has(said, "LITERAL+"), has(said, "MULTIAPPEND")
	return i, err
}

// command returns everything that the server says up to the tagged OK.
func (i *imap) command(tag, text string) (string, error) {
	fmt.Fprintf(i.w, "%s %s\r\n", tag, text)
	if err := i.w.Flush(); err != nil {
		return "", err
	}
	var said strings.Builder
	for {
		line, err := i.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("imap: %w", err)
		}
		said.WriteString(line)
		if strings.HasPrefix(line, tag+" OK") {
			return said.String(), nil
		}
		if strings.HasPrefix(line, tag+" ") {
			return "", fmt.Errorf("imap: refused: %.100q", line)
		}
	}
}

// carry sends messages until there are no more and waits for the last answer.
func (l *limit) carry(ctx context.Context, i *imap) error {
	answered := make(chan int, 1)
	go func() { answered <- i.listen() }()
	for {
		body, ok, err := i.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := i.send(ctx, body); err != nil {
			return err
		}
		l.recycle(body)
	}
	i.end()
	fmt.Fprintf(i.w, "%s NOOP\r\n", lastTag)
	if err := i.w.Flush(); err != nil {
		return err
	}
	if n := <-answered; n != i.commands {
		return fmt.Errorf("imap: %d of %d APPENDs were accepted", n, i.commands)
	}
	l.guard.Lock()
	defer l.guard.Unlock()
	l.accepted += i.sent
	return nil
}

// next flushes only when it has to wait.
func (i *imap) next(ctx context.Context) (body []byte, ok bool, err error) {
	select {
	case body, ok = <-i.messages:
		return body, ok, nil
	default:
	}
	if err := i.w.Flush(); err != nil {
		return nil, false, err
	}
	select {
	case body, ok = <-i.messages:
		return body, ok, nil
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}

// send writes a message, as the next one of the APPEND that is under way if it can be.
func (i *imap) send(ctx context.Context, body []byte) error {
	if i.held == 0 {
		i.commands++
		fmt.Fprintf(i.w, "a%d APPEND INBOX", i.commands)
	}
	if i.plus {
		fmt.Fprintf(i.w, " {%d+}\r\n", len(body))
	} else {
		fmt.Fprintf(i.w, " {%d}\r\n", len(body))
		if err := i.await(ctx); err != nil {
			return err
		}
	}
	if _, err := i.w.Write(body); err != nil {
		return err
	}
	i.sent++
	i.held++
	if !i.multi || i.held == batch {
		i.end()
	}
	return nil
}

// end ends the APPEND that is under way.
func (i *imap) end() {
	if i.held > 0 {
		i.held = 0
		_, _ = i.w.WriteString("\r\n") // an error stays in the writer until it is flushed
	}
}

// await waits for the server to ask for the literal.
func (i *imap) await(ctx context.Context) error {
	if err := i.w.Flush(); err != nil {
		return err
	}
	select {
	case <-i.proceed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// listen counts the APPENDs that are accepted, up to the answer to lastTag, which is sent right
// behind the last of them. A refusal or a broken connection ends the whole run.
func (i *imap) listen() (accepted int) {
	for {
		line, err := i.r.ReadSlice('\n')
		if err != nil {
			i.failed(fmt.Errorf("imap: %w", err))
			return accepted
		}
		tag, rest, _ := strings.Cut(string(line), " ")
		switch {
		case tag == "+":
			i.proceed <- struct{}{}
		case tag == "*":
		case tag == lastTag:
			return accepted
		case strings.HasPrefix(rest, "OK"):
			accepted++
		default:
			i.failed(fmt.Errorf("imap: refused: %.100q", line))
			return accepted
		}
	}
}
