package message_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

func likeness(t testing.TB, raw string) message.Likeness {
	t.Helper()
	l, err := message.ReadLikeness(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLikeness says of messages how they compare with a copy.
func TestLikeness(t *testing.T) {
	const mail = "Received: from a\r\n\tby b id 1;\r\n\tTue, 4 Mar 2014 05:06:07 +0100\r\n" +
		"Message-ID: <a@example.org>\r\nSubject: Gr\xfc\xdfe\r\n\r\ntext\r\nmore\r\n"
	in := func(old, new string) string { return strings.Replace(mail, old, new, 1) }
	for _, c := range []struct {
		name, mail, copy string
		want             message.Resemblance
	}{
		{"as it is", mail, mail, message.Alike},
		{"without bare CRs", in("text", "te\rxt\r"), mail, message.Alike},
		{"header without CRs", in(" id 1;", " id\r 1;\r"), mail, message.Alike},
		{"lines cut at NUL", in("text", "text\x00 and this"), mail, message.Alike},
		{"folded anew", mail, in("\r\n\tby b id 1;\r\n\tTue", " by b id 1; Tue"), message.Alike},
		{"blank before the fold", mail, in("Message-ID: <", "Message-ID: \r\n <"), message.Alike},
		{"blank before the colon", in("Message-ID:", "Message-ID :"), mail, message.Alike},
		{"names in upper case", mail, in("Message-ID", "MESSAGE-ID"), message.Alike},
		{"8-bit header", mail, in("Gr\xfc\xdfe", "GrXXe"), message.Alike},
		{"8-bit name", "N\xe4me: x\r\n" + mail, "NXme: x\r\n" + mail, message.Alike},
		{"fields of the server", mail, "X-UID: 7\r\nStatus: RO\r\n" + mail, message.Alike},
		{"any field in addition", mail, "X-Gateway: example.org\r\n" + mail, message.Grown},
		{"fields in another order", mail, "Subject: Gr\xfc\xdfe\r\n" + in("Subject: Gr\xfc\xdfe\r\n", ""), message.Alike},
		{"From quoted", in("text", "From here"), in("text", ">From here"), message.Alike},
		{"From quoted twice", in("text", ">From here"), in("text", ">>>From here"), message.Alike},
		{"From put into a line", mail, in("text", "te>>From xt"), message.Alike},
		{"empty lines at the end", mail, mail + "\r\n\r\n", message.Alike},
		{"no end", strings.TrimSuffix(mail, "\r\n"), mail, message.Alike},

		{"other text", mail, in("text", "test"), message.Other},
		{"other text behind a CR", "X-A: b\r\nReturn-Path: <a@example.org>\rSubject: x\r\rtext\r",
			"X-A: b\r\nReturn-Path: <a@example.org>\rSubject: x\r\rtest\r", message.Other},
		{"CRs for line ends", "Return-Path: <a@example.org>\rSubject: x\r\rtext\r",
			"Return-Path: <a@example.org>Subject: xtext\r\n", message.Alike},
		{"CRs for line ends, other text", "Return-Path: <a@example.org>\rSubject: x\r\rtext\r",
			"Return-Path: <a@example.org>Subject: xtest\r\n", message.Other},
		{"CRs behind a field of the server", "Return-Path: <a@example.org>\r\r\n" + mail,
			"Return-Path: <b@example.org>\r\n" + mail, message.Alike},
		{"text in addition", mail, mail + "-- \r\n", message.Other},
		{"text cut off", mail, in("more\r\n", ""), message.Other},
		{"other blanks in the text", in("text", "te xt"), mail, message.Other},
		{"other 8-bit text", in("text", "t\xe4xt"), in("text", "t\xf6xt"), message.Other},
		{"unquoted From in a line", in("text", "text From here"), in("text", "text here"), message.Other},
		{"other Received", mail, in("id 1", "id 2"), message.Other},
		{"field lost", mail, in("Subject: Gr\xfc\xdfe\r\n", ""), message.Other},
		{"field lost of two", "X: y\r\nX: y\r\n" + mail, "X: y\r\n" + mail, message.Other},
		{"few fields and more", "Subject: x\r\n\r\ntext\r\n", "Subject: x\r\nTo: y\r\n\r\ntext\r\n", message.Other},
		{"no header, other text", "Just a text.\r\n", "Just a test.\r\n", message.Other},
		{"garbage in the header", "no colon\r\n" + mail, "nor here\r\n" + mail, message.Other},
		{"nothing", "", "", message.Other},
		{"nothing visible", "\x00\r\n", "X-UID: 1\r\n\r\n\r\n", message.Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := likeness(t, c.mail).In(likeness(t, c.copy)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestCameFrom: a copy that went another way is another one, whatever it has in common.
func TestCameFrom(t *testing.T) {
	const rest = "Message-ID: <a@example.org>\r\nSubject: x\r\n\r\n"
	mail := likeness(t, "Received: from a\r\n\tby b; now\r\nReceived: from c by a; now\r\n"+rest+"text\r\n")
	for copied, want := range map[string]bool{
		"RECEIVED: from a by b; now\r\nreceived: from c by a; now\r\n":                               true,
		"Received: from b by z; now\r\nReceived: from a by b; now\r\nReceived: from c by a; now\r\n": true,
		"Received: from a by z; now\r\nReceived: from c by a; now\r\n":                               false,
		"Received: from c by a; now\r\n":                                                             false,
		"":                                                                                           false,
	} {
		if got := likeness(t, copied+rest+"rewritten\r\n").CameFrom(mail); got != want {
			t.Errorf("%q: %v, want %v", copied, got, want)
		}
	}
	if likeness(t, rest).CameFrom(likeness(t, rest)) {
		t.Error("nobody knows where it came from")
	}
}

// TestLikenessInPieces: how a message is cut while it is read makes no difference,
// and neither does where it rests.
func TestLikenessInPieces(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 20_000, Now: clock}
	rapid.Check(t, func(rt *rapid.T) {
		raw := drawMessage(rt)
		cut := rapid.IntRange(0, len(raw)).Draw(rt, "cut")
		pieces, err := message.ReadLikeness(&cutReader{parts: [][]byte{raw[:cut], raw[cut:]}})
		if err != nil {
			rt.Fatal(err)
		}
		m, err := s.Receive(bytes.NewReader(raw))
		if err != nil {
			rt.Fatal(err)
		}
		defer m.Close()
		resting, err := m.Likeness()
		if err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(pieces) != fmt.Sprint(resting) {
			rt.Fatalf("%v, and at rest %v", pieces, resting)
		}
	})
}

// TestNoOtherMailIsAlike: no mail of the corpora is taken for the altered copy
// of another one.
func TestNoOtherMailIsAlike(t *testing.T) {
	all := append(corpus.Ordinary(200, 7), corpus.Hard()...)
	alike := map[string]bool{}
	like := make([]message.Likeness, len(all))
	content := make([]message.Digest, len(all))
	for i, m := range all {
		like[i], content[i] = likeness(t, string(m.Raw)), summarize(t, string(m.Raw)).Content
	}
	for i := range all {
		for j := range all {
			if content[i] != content[j] && like[i].In(like[j]) == message.Alike {
				alike[all[i].Name+" in "+all[j].Name] = true
			}
		}
	}
	if diff := cmp.Diff(map[string]bool{}, alike); diff != "" {
		t.Error(diff)
	}
}

// TestLikenessOfEndlessHeaders: memory stays bounded, and the end still counts.
func TestLikenessOfEndlessHeaders(t *testing.T) {
	long := strings.Repeat("X: y\r\n", 150_000)
	if likeness(t, long+"\r\ntext\r\n").In(likeness(t, long+"\r\ntext\r\n")) != message.Alike {
		t.Error("not like itself")
	}
	if likeness(t, long+"\r\ntext\r\n").In(likeness(t, long+"\r\ntest\r\n")) != message.Other {
		t.Error("like another")
	}
}
