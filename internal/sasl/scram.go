package sasl

import (
	"errors"
	"strconv"
	"strings"

	library "github.com/xdg-go/scram"

	"github.com/popferry/popferry/internal/fault"
)

// What a server may ask of us: fewer rounds would make the password cheap to guess
// for whoever listens (RFC 7677 §4), more would keep this machine busy.
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

// scram is RFC 5802, with SHA-256 by RFC 7677.
type scram struct {
	talk  *library.ClientConversation
	steps int
}

func (c Credentials) scram(mechanism string) (client, error) {
	hash := library.SHA256
	if mechanism == ScramSHA1 {
		hash = library.SHA1
	}
	talker, err := hash.NewClient(c.Username, c.Password.Reveal(), c.AuthorizeAs)
	if err != nil { // it would repeat what it dislikes
		return nil, fault.New(fault.Config, "user name or password holds a character that %s forbids",
			mechanism).WithHint("set auth: plain, which carries any password")
	}
	return &scram{talk: talker.NewConversation()}, nil
}

func (s *scram) start() ([]byte, error) {
	first, err := s.talk.Step("")
	return []byte(first), err
}

func (s *scram) next(challenge []byte) ([]byte, error) {
	s.steps++
	switch s.steps {
	case 1:
		return s.prove(string(challenge))
	case 2:
		return s.judge(string(challenge))
	}
	return nil, errUnusable
}

// prove answers the server's first message (RFC 5802 §5).
func (s *scram) prove(challenge string) ([]byte, error) {
	n, ok := iterations(challenge)
	if !ok {
		return nil, errUnusable
	}
	if n < minIterations || n > maxIterations {
		return nil, fault.New(fault.Protocol, "SCRAM with %d iterations, which must be %d to %d", n,
			minIterations, maxIterations).
			WithHint("ask the server's operator; inside TLS auth: plain does without")
	}
	proof, err := s.talk.Step(challenge)
	if err != nil {
		return nil, errUnusable
	}
	return []byte(proof), nil
}

// iterations reads "i=" of "r=…,s=…,i=…" before the library works on it.
func iterations(challenge string) (n int, ok bool) {
	for part := range strings.SplitSeq(challenge, ",") {
		if digits, found := strings.CutPrefix(part, "i="); found {
			n, err := strconv.Atoi(digits)
			return n, err == nil || errors.Is(err, strconv.ErrRange)
		}
	}
	return 0, false
}

// judge checks the server's signature: only who knows the password can make it.
func (s *scram) judge(challenge string) ([]byte, error) {
	if reason, failed := strings.CutPrefix(challenge, "e="); failed {
		code := fault.Credentials
		if strings.HasPrefix(reason, "no-resources") {
			code = fault.Temporary
		}
		return nil, fault.New(code, "SCRAM: the server says %q", fault.Escape(reason)).
			WithHint("check user name and password; if they are right, the server may keep the " +
				"password in another form: set auth: plain")
	}
	if _, err := s.talk.Step(challenge); err != nil {
		return nil, fault.New(fault.Protocol, "SCRAM: the server can't prove that it knows the password").
			WithHint("this may be another server that poses as the right one; check host and certificate")
	}
	return nil, nil
}

func (s *scram) done() bool { return s.talk.Valid() }
