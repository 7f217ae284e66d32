package imapdst

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
)

const (
	// maxPlainLine bounds a line before the login: RFC 2683 §3.2.1.5 asks for
	// 8,000 octets.
	maxPlainLine = 8 << 10
	// maxPlainLines bounds the untagged lines before one answer.
	maxPlainLines = 200
	// answerLimit bounds the wait for one answer before and during the login.
	// Servers delay the answer to a wrong password, by some 15 s.
	answerLimit = 90 * time.Second
)

// part answers a continuation request (RFC 3501 §7.5); ok is false when there is
// nothing left to say, and the exchange is cancelled with "*" (§6.2.2).
type part func(challenge string) (line string, ok bool)

// command sends a command and returns its tagged answer. answer replies to
// continuation requests; nil means that there may be none.
func (l *login) command(ctx context.Context, text string, answer part) (status, error) {
	return l.commands(ctx, "", text, answer)
}

// commands sends an optional first command, whose answer does not matter, in the
// same packet as the one that counts.
func (l *login) commands(ctx context.Context, first, text string, answer part) (status, error) {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	defer l.conn.Begin(limited)()
	packet, pending := "", ""
	if first != "" {
		pending = l.tag()
		packet = pending + " " + first + "\r\n"
	}
	tag := l.tag()
	if _, err := l.conn.Write([]byte(packet + tag + " " + text + "\r\n")); err != nil {
		return status{}, l.silence(ctx, err)
	}
	l.trips++
	reply, err := l.await(pending, tag, answer)
	return reply, l.silence(ctx, err)
}

func (l *login) tag() string {
	l.count++
	return l.tags + strconv.Itoa(l.count)
}

// await reads up to the tagged answer of the command that counts.
func (l *login) await(pending, tag string, answer part) (status, error) {
	for range maxPlainLines {
		raw, err := l.conn.ReadLine(maxPlainLine)
		if err != nil {
			return status{}, err
		}
		line := string(raw)
		first, rest, _ := strings.Cut(line, " ")
		switch {
		case first == "*":
			err = l.untagged(rest)
		case first == "+":
			err = l.proceed(rest, &answer)
		case first == tag:
			return l.tagged(line, rest)
		case first == pending && pending != "":
			pending = ""
		default:
			err = l.stray(line)
		}
		if err != nil {
			return status{}, err
		}
	}
	return status{}, l.conn.Break(fault.New(fault.Protocol,
		"%s sent more than %d lines before its answer", l.conn.Address(), maxPlainLines).
		WithHint("%s", strangerHint))
}

func (l *login) untagged(rest string) error {
	word, args, _ := strings.Cut(rest, " ")
	if strings.EqualFold(word, "CAPABILITY") {
		l.caps = newCapabilities(args)
		return nil
	}
	s, ok := parseStatus(rest)
	s.text = l.hide(s.text)
	if ok && s.kind == "BYE" {
		return l.conn.Break(l.goodbye(s))
	}
	l.learn(s)
	return nil
}

// goodbye is how the server ends the session. Some say so of a wrong password, instead of
// an answer to the login.
func (l *login) goodbye(s status) *fault.Error {
	if l.mechanism != "" && loginClass(s) == fault.Credentials {
		return l.loginRefused(s)
	}
	return byeError(l.conn.Address(), s)
}

// proceed answers "+"; after "*" the next answer must be the tagged one.
func (l *login) proceed(challenge string, answer *part) error {
	if *answer == nil {
		return l.stray("+ " + challenge)
	}
	line, ok := (*answer)(challenge)
	if !ok {
		line, *answer = "*", nil
	}
	l.trips++
	_, err := l.conn.Write([]byte(line + "\r\n"))
	return err
}

func (l *login) tagged(line, rest string) (status, error) {
	s, ok := parseStatus(rest)
	if !ok || s.kind == "BYE" || s.kind == "PREAUTH" {
		return s, l.stray(line)
	}
	s.text = l.hide(s.text)
	return s, nil
}

// hide takes what is secret out of what the server says.
func (l *login) hide(text string) string { return l.options.credentials().Hide(text) }

// stray is a line that answers nothing we sent. Before TLS that is an attempt to
// get ahead of the upgrade (CVE-2026-42246).
func (l *login) stray(line string) error {
	code := fault.Protocol
	if l.options.Endpoint.TLS == wire.STARTTLS && !l.conn.Secure() {
		code = fault.TLS
	}
	return l.conn.Break(fault.New(code, "%s sent %q, which answers nothing we asked",
		l.conn.Address(), fault.Escape(l.hide(line))).
		WithHint("check host and port; if they are right, the server is broken or not the server"))
}

// silence tells a wait that ended by its own limit from one that was cancelled.
func (l *login) silence(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return noAnswer(l.conn.Address(), answerLimit)
	}
	return err
}
