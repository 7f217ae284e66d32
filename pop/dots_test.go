package pop_test

import (
	"fmt"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// Mail that starts with dots, from servers that double them and from those that,
// like Dovecot, leave the first line alone.
func TestFirstLine(t *testing.T) {
	mail := []string{
		"plain\r\n", ".x\r\nafter\r\n", ".\r\n", ".\r\nafter\r\n.\r\n", "..\r\n", "..x\r\nafter\r\n",
		"...\r\n.\r\n", ".\r\n.\r\n", "\r\n.\r\n", "last\r\n", ".\r\n",
	}
	for _, noPipelining := range []bool{false, true} {
		for name, o := range map[string]popd.Options{
			"doubled": {},
			"plain":   {PlainFirst: true},
			"a Dovecot": {PlainFirst: true,
				Reply: replies(map[string]string{"GREETING": "+OK Dovecot ready.\r\n"})},
			"not really": say("GREETING", "+OK I am no Courier.\r\n"),
		} {
			t.Run(fmt.Sprint(name, "/", noPipelining), func(t *testing.T) {
				o.NoPipelining = noPipelining
				m := dial(t, over(serve(t, o, mail...)))
				got, err := retrieve(t.Context(), m, list(t, m))
				if err != nil {
					t.Fatal(err)
				}
				wantTexts(t, got, mail)
				if err := m.Noop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// When the size that LIST gave says that the guess was wrong, the message is
// refused and the session goes on.
func TestFirstLineInDoubt(t *testing.T) {
	for name, o := range map[string]popd.Options{
		"unknown server that does not double": {PlainFirst: true},
		"a Dovecot that does":                 say("GREETING", "+OK Dovecot ready.\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			m := dial(t, over(serve(t, o, "..x\r\n", "fine\r\n")))
			var got []fetched
			each := collect(&got)
			err := m.Retrieve(t.Context(), list(t, m), tolerate(each, &got))
			if err != nil || len(got) != 2 || got[1].text != "fine\r\n" {
				t.Fatalf("got %v, %v", got, err)
			}
			wantFault(t, got[0].err, fault.Held, "message 1", "which dots")
		})
	}
}

// A server that does not double dots would lose one of each pair. A line with a
// single dot gives it away.
func TestDotsInDoubt(t *testing.T) {
	message := "Subject: x\r\n\r\n..\r\n.one\r\n"
	m := dial(t, over(serve(t, popd.Options{Unstuffed: true}, message, "a\r\n.b\r\n")))
	var got []fetched
	err := m.Retrieve(t.Context(), list(t, m), tolerate(collect(&got), &got))
	if err != nil || len(got) != 2 || got[1].text != "a\r\n.b\r\n" {
		t.Fatalf("got %v, %v", got, err)
	}
	wantFault(t, got[0].err, fault.Held, "message 1", "which dots")
}

// Where no line gives such a server away, the size does: a message that has it only with the
// dots that were taken away has lost them.
func TestSizeTellsOfDots(t *testing.T) {
	mail := []string{"Subject: x\r\n\r\nwait ...\r\n... for it\r\n", "a\r\n..\r\n..b\r\n..", "c\r\n.\r\n", "d\r\n"}
	for _, noPipelining := range []bool{false, true} {
		o := popd.Options{Unstuffed: true, NoPipelining: noPipelining}
		m := dial(t, over(serve(t, o, mail[0], mail[1], mail[3])))
		var got []fetched
		err := m.Retrieve(t.Context(), list(t, m), tolerate(collect(&got), &got))
		if err != nil || len(got) != 3 || got[2].text != mail[3] {
			t.Fatalf("got %v, %v", got, err)
		}
		wantFault(t, got[0].err, fault.Held, "message 1", "which dots")
		wantFault(t, got[1].err, fault.Held, "message 2", "which dots")
	}
	for _, offset := range []int{-20, 0, 20} { // sizes that are off otherwise prove nothing
		m := dial(t, over(serve(t, popd.Options{SizeOffset: offset}, mail...)))
		got, err := retrieve(t.Context(), m, list(t, m))
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, got, []string{mail[0], mail[1] + "\r\n", mail[2], mail[3]})
	}
}

// Inbucket and DBMail double all dots, and their sizes are off in a way that may look as if they did not.
func TestSizesByChance(t *testing.T) {
	const mail = "Received: x\r\nSubject: y\r\n\r\n... for it\r\n"
	for greeting, held := range map[string]bool{
		"+OK Inbucket POP3 server ready <1.2@inbucket>\r\n":      false,
		"+OK DBMAIL pop3 server ready to rock <1.2@example>\r\n": false,
		"+OK ready\r\n": true,
	} {
		m := dial(t, over(serve(t, popd.Options{SizeOffset: -3, NoPipelining: true,
			Reply: replies(map[string]string{"GREETING": greeting})}, mail)))
		var got []fetched
		err := m.Retrieve(t.Context(), list(t, m), tolerate(collect(&got), &got))
		if err != nil || len(got) != 1 || (got[0].err != nil) != held || !held && got[0].text != mail {
			t.Errorf("%q: got %v, %v", greeting, got, err)
		}
	}
}

// A size that counts each line end as one octet fits, and so no dot was lost: a bare LF ends no line.
func TestSizeWithShortLineEnds(t *testing.T) {
	for size, mail := range map[int]string{-4: "Subject: x\r\n\r\na\n.b\r\n.c\r\n", -2: ".x\r\n\n\n.\n.\r\n"} {
		for _, o := range []popd.Options{{SizeOffset: size}, {SizeOffset: size, NoPipelining: true}} {
			m := dial(t, over(serve(t, o, mail)))
			got, err := retrieve(t.Context(), m, list(t, m))
			if err != nil {
				t.Fatal(err)
			}
			wantTexts(t, got, []string{mail})
		}
	}
}
