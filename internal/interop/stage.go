package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
	"github.com/popferry/popferry/internal/mailtest/servers/box"
	"github.com/popferry/popferry/internal/mailtest/servers/courier"
	"github.com/popferry/popferry/internal/mailtest/servers/cyrus"
	"github.com/popferry/popferry/internal/mailtest/servers/mailutils"
	"github.com/popferry/popferry/internal/mailtest/servers/popa3d"
)

// sources and destinations in the order of the matrix.
var (
	sources      = [...]string{"dovecot", "cyrus", "courier", "popa3d", "mailutils"}
	destinations = [...]string{"dovecot", "cyrus", "courier", "mailutils"}
	kinds        = [...]string{"ordinary", "hard"}
)

// pair is one field of the matrix.
type pair struct{ source, destination, kind string }

// String is what -only is compared with.
func (p pair) String() string { return p.source + "-" + p.destination + "-" + p.kind }

// from, to and reader are the users of a pair. The reader has the same mail as from, so that
// looking at it changes nothing for popferry.
func (p pair) from() string   { return "f-" + p.String() }
func (p pair) to() string     { return "t-" + p.String() }
func (p pair) reader() string { return "r-" + p.source + "-" + p.kind }

// choose returns the pairs that begin with one of the prefixes.
func choose(prefixes []string) []pair {
	var pairs []pair
	for _, kind := range kinds {
		for _, source := range sources {
			for _, destination := range destinations {
				p := pair{source, destination, kind}
				begins := func(prefix string) bool { return strings.HasPrefix(p.String(), prefix) }
				if prefixes == nil || slices.ContainsFunc(prefixes, begins) {
					pairs = append(pairs, p)
				}
			}
		}
	}
	return pairs
}

// mails returns the mail of a kind.
func mails(kind string) [][]byte {
	list := corpus.Hard()
	if kind == "ordinary" {
		list = corpus.Ordinary(40, 1)
	}
	var raw [][]byte
	for _, m := range list {
		raw = append(raw, m.Raw)
	}
	return raw
}

// server is one mail server, as both ends where it is both.
type server struct {
	pop3, imap, password string
	deliver              func(user string, messages ...[]byte) error
	messages             func(user string) ([][]byte, error) // of the INBOX, from the files
	stop                 func() error
}

// stage is the servers that the pairs need.
type stage map[string]server

// openStage starts the servers, each with the users that the pairs give it.
func openStage(pairs []pair) (stage, error) {
	users := map[string][]string{}
	add := func(server, user string) {
		if !slices.Contains(users[server], user) {
			users[server] = append(users[server], user)
		}
	}
	for _, p := range pairs {
		add(p.source, p.from())
		add(p.source, p.reader())
		add(p.destination, p.to())
	}
	s := stage{}
	for name, list := range users {
		one, err := start(name, list)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.close())
		}
		s[name] = one
	}
	return s, nil
}

func (s stage) close() error {
	var errs []error
	for _, one := range s {
		errs = append(errs, one.stop())
	}
	return errors.Join(errs...)
}

func start(name string, users []string) (server, error) {
	switch name {
	case "dovecot":
		return startDovecot()
	case "cyrus":
		s, err := cyrus.Start(users)
		if err != nil {
			return server{}, err
		}
		return server{s.POP3, s.IMAP, box.Password, s.Deliver, s.Messages, s.Stop}, nil
	case "courier":
		s, err := courier.Start(users)
		if err != nil {
			return server{}, err
		}
		return server{s.POP3, s.IMAP, box.Password, s.Deliver, s.Messages, s.Stop}, nil
	case "mailutils":
		s, err := mailutils.Start(users)
		if err != nil {
			return server{}, err
		}
		return server{s.POP3, s.IMAP, box.Password, s.Deliver, s.Messages, s.Stop}, nil
	}
	s, err := popa3d.Start(users)
	if err != nil {
		return server{}, err
	}
	return server{s.POP3, "", box.Password, s.Deliver, s.Maildrop, s.Stop}, nil
}

func startDovecot() (server, error) {
	s, err := dovecot.Start(dovecot.Options{})
	if err != nil {
		return server{}, err
	}
	deliver := func(user string, messages ...[]byte) error {
		for _, raw := range messages {
			if err := s.Deliver(user, raw); err != nil {
				return err
			}
		}
		return nil
	}
	messages := func(user string) ([][]byte, error) {
		files, err := s.Messages(user, "INBOX")
		var raw [][]byte
		for _, file := range files {
			raw = append(raw, file.Raw)
		}
		return raw, err
	}
	return server{s.POP3, s.IMAP, s.Password, deliver, messages, s.Stop}, nil
}
