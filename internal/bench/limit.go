package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	limitRole = "limit"

	// window is how many RETR are under way and batch how many messages one APPEND carries.
	window = 512
	batch  = 100
	// lanes is how many IMAP connections share the work where each message costs a round trip.
	lanes = 4
	// ahead is how many messages may have arrived that are not yet sent on.
	ahead = 64
	// bufferSize is that of each direction of each connection.
	bufferSize = 256 << 10
	// patience is how long the whole may take.
	patience = 10 * time.Minute
)

// limit is the raw limit: the least that a program has to do to carry a maildrop over, if it obeys
// the protocols and takes no care. It parses nothing it does not need and makes no digest, keeps
// no journal, asks neither for UIDs nor for sizes, looks for nothing at the destination, gives no
// dates and hangs up at the end without a word.
//
// It waits only where it has to: for the greetings, for what the servers can do (RFC 2449 §6.6:
// only who announces PIPELINING may be sent commands ahead; RFC 7888 and RFC 3502 likewise), for
// the logins and for the number of messages, on both sides at the same time.
type limit struct {
	source, destination string // host:port
	user, recipient     string
	password            string
	fetched, accepted   int
	messages            chan []byte
	recycled            chan []byte
	failed              context.CancelCauseFunc
	sockets             []net.Conn
	guard               sync.Mutex
}

func limitMain(ctx context.Context, args []string) error {
	l := &limit{}
	flags := flag.NewFlagSet(limitRole, flag.ContinueOnError)
	flags.StringVar(&l.source, "source", "", "POP3 host:port")
	flags.StringVar(&l.destination, "destination", "", "IMAP host:port")
	flags.StringVar(&l.user, "user", "", "POP3 user")
	flags.StringVar(&l.recipient, "recipient", "", "IMAP user")
	flags.StringVar(&l.password, "password", "", "of both")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := l.run(ctx); err != nil {
		return err
	}
	if l.accepted != l.fetched {
		return fmt.Errorf("fetched %d messages, the destination took %d", l.fetched, l.accepted)
	}
	fmt.Println(l.accepted, "messages")
	return nil
}

// run fetches and appends at the same time.
func (l *limit) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx, l.failed = context.WithCancelCause(ctx)
	l.messages = make(chan []byte, ahead)
	l.recycled = make(chan []byte, ahead)
	defer context.AfterFunc(ctx, l.hangUp)()

	var work sync.WaitGroup
	work.Go(func() { l.check(l.fetch(ctx)) })
	work.Go(func() { l.check(l.append(ctx)) })
	work.Wait()
	l.hangUp()
	return context.Cause(ctx)
}

// check ends everything when one side fails.
func (l *limit) check(err error) {
	if err != nil {
		l.failed(err)
	}
}

func (l *limit) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l.guard.Lock()
	defer l.guard.Unlock()
	l.sockets = append(l.sockets, conn)
	return conn, nil
}

func (l *limit) hangUp() {
	l.guard.Lock()
	defer l.guard.Unlock()
	for _, conn := range l.sockets {
		_ = conn.Close()
	}
}

// buffer returns an empty one that was used before, or a new one.
func (l *limit) buffer() []byte {
	select {
	case b := <-l.recycled:
		return b[:0]
	default:
		return make([]byte, 0, 32<<10)
	}
}

func (l *limit) recycle(b []byte) {
	select {
	case l.recycled <- b:
	default:
	}
}

// has tells whether a list of capabilities contains one.
func has(capabilities, name string) bool {
	for _, word := range strings.FieldsFunc(capabilities, func(r rune) bool {
		return r == ' ' || r == '\r' || r == '\n' || r == '[' || r == ']'
	}) {
		if strings.EqualFold(word, name) {
			return true
		}
	}
	return false
}
