package imapdst_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/message"
)

// A server may give the items of a message in as many responses as it likes, in any order
// (RFC 3501 §7.4.2).
func TestFetchInParts(t *testing.T) {
	body := "BODY[] {5}\r\nx\r\n\r\n"
	for name, lines := range map[string][]string{
		"in one":            {"* 1 FETCH (UID 5 RFC822.SIZE 4 FLAGS (\\Deleted) " + body + ")"},
		"one for each item": {"* 1 FETCH (UID 5 RFC822.SIZE 4)", "* 1 FETCH (UID 5 FLAGS (\\Deleted))", "* 1 FETCH (UID 5 " + body + ")"},
		"flags first":       {"* 1 FETCH (FLAGS (\\Deleted) UID 5)", "* 1 FETCH (RFC822.SIZE 4 UID 5)", "* 1 FETCH (UID 5 " + body + ")"},
		"UID behind":        {"* 1 FETCH (UID 5 FLAGS (\\Deleted))", "* 1 FETCH (RFC822.SIZE 4 UID 5)", "* 1 FETCH (" + body + " UID 5)"},
		"others in between": {"* 1 FETCH (UID 5 RFC822.SIZE 4 FLAGS (\\Deleted))", "* 2 FETCH (UID 6 FLAGS (\\Seen))", "* 1 FETCH (UID 5 " + body + ")"},
		"size said twice":   {"* 1 FETCH (UID 5 FLAGS (\\Deleted))", "* 1 FETCH (UID 5 RFC822.SIZE 4 " + body + ")", "* 1 FETCH (UID 5 RFC822.SIZE 4)"},
		"size also before":  {"* 1 FETCH (UID 5 RFC822.SIZE 4 FLAGS (\\Deleted))", "* 1 FETCH (UID 5 RFC822.SIZE 4 " + body + ")"},
		"literal8":          {"* 1 FETCH (UID 5 FLAGS (\\Deleted) BODY[] ~{5}\r\nx\r\n\r\n)"},
		"quoted":            {"* 1 FETCH (UID 5 FLAGS (\\Deleted))", "* 1 FETCH (UID 5 BODY[] \"x\")"},
	} {
		t.Run(name, func(t *testing.T) {
			server := fake{on: map[string]handler{"UID FETCH": say(append(lines, "TAG OK done")...)}}
			conn := server.dial(t)
			var got []string
			err := conn.Digests(context.Background(), folder(t, conn, "INBOX"), []uint32{5},
				func(uid uint32, c imapdst.Copy) error {
					got = append(got, fmt.Sprint(uid, c.Size > 0, c.Deleted))
					return nil
				})
			if diff := cmp.Diff([]string{"5 true true"}, got); diff != "" || err != nil {
				t.Errorf("%s %v", diff, err)
			}
		})
	}
}

// The UID may stand behind the text of a message, however large that is (RFC 3501 §7.4.2).
func TestUIDBehindLargeText(t *testing.T) {
	const messages = 5
	var mail [][]byte
	for n := range messages {
		mail = append(mail, text(n, 36<<(4*n)), text(n, 36)) // what is no larger than a token, too
	}
	server := fake{on: map[string]handler{"UID FETCH": func(f *fake, tag, _ string) {
		f.send(fmt.Sprintf("* 99 FETCH (BODY[] {%d}\r\n%s)", len(mail[8]), mail[8])) // of nobody knows whom
		for n, m := range mail {
			f.send(fmt.Sprintf("* %d FETCH (BODY[] {%d}\r\n%s FLAGS (\\Deleted) UID %d)", n+1, len(m), m, n+1))
		}
		f.send(tag + " OK done")
	}}}
	conn := server.dial(t)
	box := folder(t, conn, "INBOX")
	var uids []uint32
	for n := range mail {
		uids = append(uids, uint32(n+1))
	}
	got := map[uint32]message.Digest{}
	err := conn.Digests(t.Context(), box, uids, func(uid uint32, c imapdst.Copy) error {
		if !c.Deleted {
			t.Error("a flag behind the text is lost")
		}
		got[uid] = c.Content
		return nil
	})
	want := map[uint32]message.Digest{}
	for n, m := range mail {
		s, _ := message.Summarize(bytes.NewReader(m), time.Now())
		want[uint32(n+1)] = s.Content
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	texts := 0
	err = conn.Texts(t.Context(), box, uids, func(uid uint32, raw []byte) error {
		if bytes.Equal(raw, mail[uid-1]) {
			texts++
		}
		return nil
	})
	if texts != len(mail) || err != nil {
		t.Errorf("%d texts: %v", texts, err)
	}
}

// I6: nor does it wait in memory for its UID.
func TestUIDBehindTakesNoMemory(t *testing.T) {
	const lines = 1000
	line := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 500)
	waits := make(chan int64, 1)
	server := fake{on: map[string]handler{"UID FETCH": func(f *fake, tag, _ string) {
		before := live()
		f.send(fmt.Sprintf("* 1 FETCH (BODY[] {%d}", lines*len(line)))
		for range lines {
			io.WriteString(f.conn, line)
		}
		waits <- live() - before
		f.send(" UID 5)\r\n" + tag + " OK done")
	}}}
	conn := server.dial(t)
	size := int64(0)
	err := conn.Digests(t.Context(), folder(t, conn, "INBOX"), []uint32{5}, func(_ uint32, c imapdst.Copy) error {
		size = c.Size
		return nil
	})
	if size != lines*int64(len(line)) || err != nil {
		t.Errorf("%d octets, %v", size, err)
	}
	if n := <-waits; n > 2<<20 {
		t.Errorf("%d KiB wait", n>>10)
	}
}

// I6: however often a server says the same of messages whose text never comes, little of it waits.
func TestEndlessParts(t *testing.T) {
	for name, c := range map[string]struct {
		said string
		step int // between UIDs
	}{
		"one message": {" FLAGS (\\Deleted)", 0},
		"flags":       {" FLAGS (\\Deleted)", 1},
		"sizes":       {" RFC822.SIZE 4", 1},
	} {
		t.Run(name, func(t *testing.T) {
			again := strings.Repeat(c.said, 60_000/len(c.said))
			waits := make(chan int64, 2) // what did not come is asked for again
			server := fake{on: map[string]handler{"UID FETCH": func(f *fake, tag, _ string) {
				before := live()
				for n := range 15 {
					f.send(fmt.Sprintf("* 1 FETCH (UID %d%s)", 5+n*c.step, again))
				}
				waits <- live() - before
				f.send(tag + " OK done")
			}}}
			conn := server.dial(t)
			if err := conn.Digests(t.Context(), folder(t, conn, "INBOX"), []uint32{5},
				func(uint32, imapdst.Copy) error { return nil }); err != nil {
				t.Error(err)
			}
			if n := <-waits; n > 512<<10 {
				t.Errorf("%d KiB wait", n>>10)
			}
		})
	}
}

// In an index a message of which nothing but the size came counts.
func TestFetchWithoutSection(t *testing.T) {
	server := fake{on: map[string]handler{"UID FETCH": say("* 1 FETCH (UID 5 RFC822.SIZE 4)",
		"* 2 FETCH (UID 6 RFC822.SIZE 7)", "* 2 FETCH (UID 6 BODY[HEADER.FIELDS (MESSAGE-ID)] {21}\r\nMessage-ID: <a@b>\r\n\r\n)",
		"* 3 FETCH (UID 7 RFC822.SIZE 9)", "TAG OK done")}}
	conn := server.dial(t)
	got := map[uint32]int64{}
	err := conn.Index(context.Background(), folder(t, conn, "INBOX"), 1, func(e imapdst.Entry) error {
		got[e.UID] = e.Size
		return nil
	})
	if diff := cmp.Diff(map[uint32]int64{5: 4, 6: 7, 7: 9}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if !strings.Contains(server.received(), "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]") {
		t.Errorf("asked in another way than all servers understand: %s", server.received())
	}
}

// RFC 9738 §3: no command is about more messages than the server said.
func TestMessageLimit(t *testing.T) {
	for _, limit := range []int{100, 7, 1} {
		messageLimit(t, limit)
	}
}

func messageLimit(t *testing.T, limit int) {
	var uids []uint32
	for n := range uint32(600) {
		uids = append(uids, 2+n+n/250) // runs of 250
	}
	asked := 0
	f := &fake{caps: allCaps + fmt.Sprint(" MESSAGELIMIT=", limit), on: map[string]handler{"UID FETCH": func(f *fake, tag, args string) {
		set, _, _ := strings.Cut(args, " ")
		count := 0
		for part := range strings.SplitSeq(set, ",") {
			low, high := 0, 0
			if n, _ := fmt.Sscanf(part, "%d:%d", &low, &high); n == 1 {
				high = low
			}
			count += high - low + 1
			for uid := low; uid <= high; uid++ {
				f.send(fmt.Sprintf("* 1 FETCH (UID %d RFC822.SIZE 9 BODY[HEADER] NIL)", uid))
			}
		}
		if asked += count; count > limit {
			t.Errorf("%d messages at once: %s", count, set)
		}
		f.send(tag + " OK done")
	}}}
	c := f.dial(t)
	err := c.Headers(t.Context(), folder(t, c, "INBOX"), uids, func(uint32, imapdst.Copy) error { return nil })
	if err != nil || asked < len(uids) {
		t.Errorf("%d of %d messages were asked for: %v", asked, len(uids), err)
	}
}
