package imapdst_test

import (
	"bufio"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// crowded is a folder with so many messages; what it says of each ends in a Message-ID.
func crowded(messages int, fetch handler) *fake {
	opened := say(fmt.Sprintf("* %d EXISTS", messages), "* OK [UIDVALIDITY 42] fine",
		fmt.Sprintf("* OK [UIDNEXT %d] fine", messages+1), "TAG OK done")
	return &fake{on: map[string]handler{"UID FETCH": fetch, "SELECT": opened, "EXAMINE": opened}}
}

// fetches writes FETCH responses for UIDs up to last, with a Message-ID of about such a
// length; fewer if the connection ends.
func fetches(f *fake, from, last, length int) (given int) {
	out := bufio.NewWriterSize(f.conn, 64<<10)
	header := "Message-ID: <" + strings.Repeat("x", length) + "@example.org>\r\n\r\n"
	rest := fmt.Sprintf(" RFC822.SIZE 1000 BODY[HEADER.FIELDS (MESSAGE-ID)] {%d}\r\n%s)\r\n", len(header), header)
	line := make([]byte, 0, 1000)
	for uid := from; uid <= last; uid++ {
		line = strconv.AppendInt(append(line[:0], "* "...), int64(uid), 10)
		line = strconv.AppendInt(append(line, " FETCH (UID "...), int64(uid), 10)
		if _, err := out.Write(append(line, rest...)); err != nil {
			return given
		}
		given++
	}
	out.Flush()
	return given
}

// honest answers with the messages that were asked for.
func honest(messages int) handler {
	return func(f *fake, tag, args string) {
		set, _, _ := strings.Cut(args, " ")
		low, high, _ := strings.Cut(set, ":")
		from, _ := strconv.Atoi(low)
		last, err := strconv.Atoi(high)
		if err != nil || last > messages {
			last = messages
		}
		fetches(f, from, last, 60)
		f.send(tag + " OK done")
	}
}

// live is how much memory is in use.
func live() int64 {
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc)
}

// X3: of a large folder only some thousand messages are in memory at a time.
func TestX3LargeFolder(t *testing.T) {
	const messages, most = 30_000, 4 << 20
	server := crowded(messages, honest(messages))
	c := server.dial(t)
	f := folder(t, c, "INBOX")
	before, largest := live(), int64(0)
	seen, next := 0, uint32(1)
	err := c.IndexParts(context.Background(), f, 1, &imapdst.Path{}, func(part []imapdst.Entry, upTo uint32) error {
		for _, e := range part {
			if e.UID < next || e.UID >= upTo {
				t.Errorf("UID %d in a part from %d to %d", e.UID, next, upTo)
			}
		}
		seen, next = seen+len(part), upTo
		largest = max(largest, live()-before)
		runtime.KeepAlive(part)
		return nil
	}, func(g imapdst.Gap) error { return fmt.Errorf("a gap: %v", g) })
	if err != nil || seen != messages || next != messages+1 {
		t.Errorf("%d messages, next %d, %v", seen, next, err)
	}
	t.Logf("%d KiB", largest>>10)
	if largest > most {
		t.Errorf("%d MiB in use, want %d at most", largest>>20, most>>20)
	}
}

// A23: FETCH responses without end are ended soon after there were more than the
// mailbox has messages, whatever they are about.
func TestA23EndlessFetch(t *testing.T) {
	for name, from := range map[string]int{"wanted": 1, "not wanted": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			const endless = 1 << 31
			given := make(chan int, 1)
			server := crowded(500, func(f *fake, _, _ string) { given <- fetches(f, from, endless, 60) })
			c := server.dial(t)
			f := folder(t, c, "INBOX")
			got := 0
			err := c.Index(context.Background(), f, 1, func(imapdst.Entry) error { got++; return nil })
			if fault.CodeOf(err) != fault.Protocol || !strings.Contains(err.Error(), "mailbox of 500 messages") {
				t.Errorf("got %v", err)
			}
			// What is still in buffers was given and never read.
			if n := <-given; n > 2*500+10_000+2000 || got > 0 {
				t.Errorf("%d were taken, %d handed over", n, got)
			}
		})
	}
}

// A23: a server that claims to have any number of messages gets no further than what
// one part may have.
func TestA23EndlessFolder(t *testing.T) {
	server := crowded(4_000_000_000, func(f *fake, tag, _ string) {
		fetches(f, 1, 170_000, 800)
		f.send(tag + " OK done")
	})
	c := server.dial(t)
	f := folder(t, c, "INBOX")
	f.UIDNext = 0
	err := c.Index(context.Background(), f, 1, func(imapdst.Entry) error { return nil })
	if fault.CodeOf(err) != fault.Protocol || !strings.Contains(err.Error(), "more than 128 MiB") {
		t.Errorf("got %v", err)
	}
}

// I6: what is said beside the answers, or asked for again and again, has an end as well.
func TestEndlessWords(t *testing.T) {
	for name, line := range map[string]string{
		"alerts": "* OK [ALERT] " + strings.Repeat("x", 4000), "go": "+ go",
		"literals": "* X {60000}\r\n" + strings.Repeat("x", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			given := make(chan int, 1)
			server := &fake{on: map[string]handler{"APPEND": func(f *fake, _, args string) {
				f.literals(args)
				given <- repeat(f, line+"\r\n")
			}}}
			o := deliver(t, server.dial(t), inboxFolder, items(1, 0))[0]
			if o.State != imapdst.Unknown || fault.CodeOf(o.Err) != fault.Protocol ||
				!strings.Contains(o.Err.Error(), "without end") {
				t.Errorf("%v: %v", o.State, o.Err)
			}
			if n := <-given; n > 100<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

// repeat sends a line until the connection ends.
func repeat(f *fake, line string) (octets int) {
	many := []byte(strings.Repeat(line, 1+64<<10/len(line)))
	for {
		n, err := f.conn.Write(many)
		octets += n
		if err != nil {
			return octets
		}
	}
}
