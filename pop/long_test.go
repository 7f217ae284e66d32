package pop_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/pop"
)

// long is a maildrop that is all listing, and is made up line by line.
type long struct {
	stat, list, uidl int
	name             string // the format of an identifier
}

func (l long) options() pop.Options {
	return pop.Options{Username: "alice", Password: hidden("open sesame"), Endpoint: wire.Endpoint{
		Host: "127.0.0.1", Port: 110, TLS: wire.None,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go l.serve(server)
			return client, nil
		},
	}}
}

func (l long) serve(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewScanner(conn), bufio.NewWriterSize(conn, 64<<10)
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\r\n", args...) }
	say("+OK")
	for out.Flush() == nil && in.Scan() {
		verb, _, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "CAPA":
			say("+OK\r\nPIPELINING\r\nUIDL\r\n.")
		case "STAT":
			say("+OK %d 1", l.stat)
		case "LIST":
			l.lines(out, l.list, "000")
		case "UIDL":
			l.lines(out, l.uidl, l.name)
		default:
			say("+OK")
		}
	}
}

// lines writes many of them without a memory of its own.
func (l long) lines(out *bufio.Writer, count int, rest string) {
	out.WriteString("+OK\r\n")
	line := make([]byte, 0, 2000)
	for n := 1; n <= count; n++ {
		line = append(strconv.AppendInt(line[:0], int64(n), 10), ' ', '0'+byte(n%10))
		line = append(append(line, rest...), "\r\n"...)
		if _, err := out.Write(line); err != nil {
			return
		}
	}
	out.WriteString(".\r\n")
}

// allocated is how many octets of memory act takes in all, whether it needs them to
// its end or not: no process can grow by more.
func allocated(act func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	act()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// X3: a million messages with identifiers of 60 octets.
func TestX3LongListing(t *testing.T) {
	const count, most = 1_000_000, 120 << 20
	m := dial(t, long{count, count, count, strings.Repeat("x", 59)}.options())
	var entries []pop.Entry
	octets := allocated(func() { entries = list(t, m) })
	t.Logf("%d MiB", octets>>20)
	if octets > most {
		t.Errorf("%d MiB, want %d at most", octets>>20, most>>20)
	}
	if last := entries[len(entries)-1]; len(entries) != count || last.Number != count || len(last.UIDL) != 60 {
		t.Errorf("%d messages, the last is %+v", len(entries), last)
	}
}

// M12: a listing that does not end is ended here, soon where STAT said less.
func TestM12EndlessListing(t *testing.T) {
	const endless = 1 << 40
	for name, test := range map[string]struct {
		long
		most int64
		says string
	}{
		"LIST, and STAT knew better": {long{3, endless, 3, ""}, 8 << 20, "STAT counts 3 messages"},
		"LIST, and STAT said as much": {long{1_000_000, endless, 3, ""}, 20 << 20,
			"more than 1000000 messages"},
		"LIST, and STAT knows nothing": {long{-1, endless, 3, ""}, 20 << 20, "more than 1000000 messages"},
		"UIDL":                         {long{10, 10, endless, "x"}, 1 << 20, "an identifier but no size"},
		"UIDL of a KiB each": {long{1_000_000, 1_000_000, endless, strings.Repeat("x", 1000)}, 340 << 20,
			"listing of more than 256 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			options := test.options()
			options.MaxMessages = 1_000_000
			m := dial(t, options)
			var err error
			octets := allocated(func() { _, err = m.List(t.Context()) })
			t.Logf("%d MiB", octets>>20)
			wantFault(t, err, fault.Protocol, test.says)
			if octets > test.most {
				t.Errorf("%d MiB, want %d at most", octets>>20, test.most>>20)
			}
		})
	}
}
