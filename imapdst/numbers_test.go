package imapdst_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/imapdst"
)

// TestGaps has answers to a FETCH of what a folder of five messages has from a UID on. The
// messages are written as number:UID; an empty one is an EXPUNGE.
func TestGaps(t *testing.T) {
	type gaps = []imapdst.Gap
	for _, c := range []struct {
		name string
		from uint32
		came string
		want gaps
		next uint32
	}{
		{"all", 1, "1:10 2:20 3:30 4:40 5:50", nil, 51},
		{"all, in another order", 1, "4:40 5:50 2:20 3:30 1:10", nil, 51},
		{"more than there were", 1, "1:10 2:20 3:30 4:40 5:50 6:60", nil, 61},
		{"none", 1, "", gaps{{0, 0}}, 1},
		{"all but the first", 1, "2:20 3:30 4:40 5:50", gaps{{0, 20}}, 51},
		{"all but two", 1, "1:10 2:20 5:50", gaps{{20, 50}}, 51},
		{"all but the last", 1, "1:10 2:20 3:30 4:40", gaps{{40, 0}}, 41},
		{"UIDs that sink", 1, "1:10 2:20 3:15 4:40 5:50", gaps{{20, 15}}, 51},
		{"two with one number", 1, "1:10 2:20 2:25 4:40 5:50", gaps{{20, 25}, {25, 40}}, 51},
		{"removed", 1, "1:10 : 2:30 3:40 4:50", nil, 51},
		{"removed and not told", 1, "1:10 3:30 4:40 5:50", gaps{{10, 30}}, 51},
		{"new ones", 31, "3:30 4:40 5:50", nil, 51},
		{"new ones but the first", 31, "3:30 5:50", gaps{{30, 50}}, 51},
		{"new ones but the last", 31, "3:30 4:40", gaps{{40, 0}}, 41},
		{"new ones behind one that is gone", 25, "3:30 4:40 5:50", nil, 51},
		{"nothing new", 51, "5:50", nil, 51},
		{"nothing new behind one that is gone", 61, "5:50", nil, 61},
		{"nothing at all of the new ones", 31, "", gaps{{0, 0}}, 31},
	} {
		t.Run(c.name, func(t *testing.T) {
			opened := say("* 5 EXISTS", "* OK [UIDVALIDITY 42] fine", "* OK [UIDNEXT 70] fine", "TAG OK done")
			server := fake{on: map[string]handler{"EXAMINE": opened, "UID FETCH": say(append(answers(c.came), "TAG OK done")...)}}
			conn := server.dial(t)
			var got gaps
			next := c.from
			err := conn.IndexParts(context.Background(), folder(t, conn, "INBOX"), c.from, &imapdst.Path{},
				func(part []imapdst.Entry, upTo uint32) error {
					if part[0].UID < c.from {
						t.Errorf("UID %d", part[0].UID)
					}
					next = upTo
					return nil
				}, func(g imapdst.Gap) error { got = append(got, g); return nil })
			if diff := cmp.Diff(c.want, got); diff != "" || next != c.next || err != nil {
				t.Errorf("%s next %d, %v", diff, next, err)
			}
		})
	}
}

func answers(came string) (lines []string) {
	for _, m := range strings.Fields(came) {
		if number, uid, _ := strings.Cut(m, ":"); uid != "" {
			lines = append(lines, fmt.Sprintf("* %s FETCH (UID %s RFC822.SIZE 9 BODY[HEADER] NIL)", number, uid))
			continue
		}
		lines = append(lines, "* 2 EXPUNGE")
	}
	return lines
}

// TestFolderThatGivesFew (I6): a folder that counts messages by the milliard and gives none of
// them, or one with each answer, is asked some thousand times, up to its last message.
func TestFolderThatGivesFew(t *testing.T) {
	for name, c := range map[string]struct {
		exists  int64
		oneEach bool
	}{
		"none": {4294967295, false}, "half as many": {2147483648, false}, "millions": {20_000_000, false},
		"one each": {4294967295, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked, got := 0, 0
			server := fake{on: map[string]handler{
				"EXAMINE": say(fmt.Sprintf("* %d EXISTS", c.exists), "* OK [UIDVALIDITY 42] fine", "* OK [UIDNEXT 4294967295] fine", "TAG OK done"),
				"UID FETCH": func(f *fake, tag, args string) {
					asked++
					low, high, _ := strings.Cut(strings.Fields(args)[0], ":")
					switch {
					case high == "*":
						f.send(fmt.Sprintf("* %d FETCH (UID 4294967294 RFC822.SIZE 9 BODY[HEADER] NIL)", c.exists))
					case c.oneEach:
						f.send(fmt.Sprintf("* %[1]s FETCH (UID %[1]s RFC822.SIZE 9 BODY[HEADER] NIL)", low))
					}
					f.send(tag + " OK done")
				},
			}}
			conn := server.dial(t)
			err := conn.IndexParts(t.Context(), folder(t, conn, "INBOX"), 1, &imapdst.Path{},
				func(part []imapdst.Entry, _ uint32) error { got += len(part); return nil },
				func(imapdst.Gap) error { return nil })
			if asked > 10_000 || got == 0 || c.oneEach && got != asked || err != nil {
				t.Errorf("asked %d times, got %d: %v", asked, got, err)
			}
		})
	}
}
