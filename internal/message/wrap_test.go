package message_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

// wrapped reads a wrapped message as a mail program does.
type wrapped struct {
	header   mail.Header
	raw      []byte
	original []byte
	kind     string // of the attachment
}

func wrap(t *testing.T, s *message.Spool, raw []byte) wrapped {
	t.Helper()
	m := receive(t, s, bytes.NewReader(raw))
	forms, err := m.Attachments()
	if err != nil {
		t.Fatal(err)
	}
	return wrapAs(t, s, m, raw, forms[0])
}

func wrapAs(t *testing.T, s *message.Spool, m *message.Message, raw []byte, as message.Attachment) wrapped {
	t.Helper()
	w, err := s.Wrap(m, as)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if w.Date != m.Date || w.DateFrom != m.DateFrom {
		t.Errorf("date %v from %q, want %v from %q", w.Date, w.DateFrom, m.Date, m.DateFrom)
	}
	var out bytes.Buffer
	if n, err := w.WriteTo(&out); err != nil || n != w.Size || n != w.Raw {
		t.Fatalf("wrote %d of %d: %v", n, w.Size, err)
	}
	check(t, m, raw) // the original is still there
	return unwrap(t, out.Bytes())
}

func unwrap(t *testing.T, raw []byte) wrapped {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("content type %s: %v", kind, err)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	if text, err := parts.NextPart(); err != nil || text.FileName() != "" {
		t.Fatalf("first part %v: %v", text, err)
	}
	file, err := parts.NextPart()
	if err != nil || file.FileName() != "original.eml" {
		t.Fatalf("second part %v: %v", file, err)
	}
	var body io.Reader = file
	kind = file.Header.Get("Content-Type")
	switch kind, _, _ = strings.Cut(kind, ";"); kind {
	case "application/octet-stream":
		body = base64.NewDecoder(base64.StdEncoding, file)
	case "message/rfc822":
	default:
		t.Fatalf("the original is a %s", kind)
	}
	original, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the second part: %v", err)
	}
	return wrapped{header: msg.Header, raw: raw, original: original, kind: kind}
}

// notPlain finds a line that some server could refuse (RFC 5322 §2.1).
func notPlain(raw []byte) []byte {
	for line := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		odd := bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' })
		if odd || len(line) > 998 {
			return line
		}
	}
	return nil
}

// TestWrap wraps all mail, however broken: what comes out is plain ASCII that
// any server takes, with a sender and a date that parse, and what went in is
// attached to it octet for octet.
func TestWrap(t *testing.T) {
	memory := &message.Spool{Dir: t.TempDir(), Memory: 64 << 20, Now: clock}
	file := &message.Spool{Dir: t.TempDir(), Memory: 1, Now: clock}
	for _, m := range mails() {
		if len(m.Raw) > 200_000 {
			continue // TestWrapOfALargeMessage does these
		}
		w := wrap(t, memory, m.Raw)
		if !bytes.Equal(w.original, m.Raw) {
			t.Errorf("%s: the attachment is %.60q, want %.60q", m.Name, w.original, m.Raw)
		}
		if bad := notPlain(w.raw); bad != nil {
			t.Errorf("%s: %.60q is not plain", m.Name, bad)
		}
		if from, err := w.header.AddressList("From"); err != nil || len(from) != 1 {
			t.Errorf("%s: from %q: %v", m.Name, w.header.Get("From"), err)
		}
		if date, err := w.header.Date(); err != nil || date.Unix() < 0 {
			t.Errorf("%s: date %q: %v", m.Name, w.header.Get("Date"), err)
		}
		if again := wrap(t, file, m.Raw); !bytes.Equal(again.raw, w.raw) {
			t.Errorf("%s: wrapped differently the second time", m.Name)
		}
	}
}

// TestWrapKind: what message/rfc822 can carry is one, so that mail programs show it.
func TestWrapKind(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Now: clock}
	const mail = "Subject: x\r\n\r\ntext\r\n"
	for raw, want := range map[string]string{
		mail:                                     "message/rfc822",
		mail + "end":                             "message/rfc822",
		mail + "\r\n":                            "message/rfc822",
		"no header\r\nat: all\r\n":               "message/rfc822",
		mail + strings.Repeat("x", 998) + "\r\n": "message/rfc822",
		mail + strings.Repeat("x", 999) + "\r\n": "application/octet-stream",
		mail + "\x00\r\n":                        "application/octet-stream",
		mail + "\xe4\r\n":                        "application/octet-stream",
		mail + "a\rb\r\n":                        "application/octet-stream",
		mail + "a\nb\r\n":                        "application/octet-stream",
		mail + "\x1b[31m\r\n":                    "application/octet-stream",
		mail + "\r":                              "application/octet-stream",
		"\n" + mail:                              "application/octet-stream",
		"":                                       "application/octet-stream",
	} {
		w := wrap(t, s, []byte(raw))
		if w.kind != want || string(w.original) != raw {
			t.Errorf("%.80q became a %s with %.80q, want %s", raw, w.kind, w.original, want)
		}
		m := receive(t, s, strings.NewReader(raw))
		forms, err := m.Attachments()
		if err != nil {
			t.Fatal(err)
		}
		last := wrapAs(t, s, m, []byte(raw), forms[len(forms)-1])
		if last.kind != "application/octet-stream" || string(last.original) != raw {
			t.Errorf("%.80q became a %s with %.80q at last", raw, last.kind, last.original)
		}
	}
}

func TestWrapTakesFieldsOver(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Now: clock}
	for _, c := range []struct{ field, value, want string }{
		{"From", "a@example.org", "<a@example.org>"},
		{"From", "<a@example.org>", "<a@example.org>"},
		{"From", "Ann <a@example.org>", `"Ann" <a@example.org>`},
		{"From", `"Example, Ann" <a@example.org>`, `"Example, Ann" <a@example.org>`},
		{"From", `"A \"B\" C" <a@example.org>`, `"A B C" <a@example.org>`},
		{"From", "Example, Ann <a@example.org>", `"Example, Ann" <a@example.org>`},
		{"From", "=?utf-8?q?J=C3=BCrgen?= <a@example.org>", `=?utf-8?q?J=C3=BCrgen?= <a@example.org>`},
		{"From", "Jürgen <a@example.org>", `=?utf-8?q?J=C3=BCrgen?= <a@example.org>`},
		{"From", "J\xfcrgen\x00 <a@example.org>", `=?utf-8?q?J=EF=BF=BDrgen?= <a@example.org>`},
		{"From", "a@example.org, b@example.org", `"a@example.org, b@example.org" <a@example.org>`},
		{"From", "Ann <jürgen@example.org>", `"Ann" <unknown@popferry.invalid>`},
		{"From", "Ann <a@@example.org>", `"Ann" <unknown@popferry.invalid>`},
		{"From", "Ann", `"Ann" <unknown@popferry.invalid>`},
		{"From", "", "<unknown@popferry.invalid>"},
		{"Subject", "plain (text) =?utf-8?Q?=C3=BC?=", "plain (text) =?utf-8?Q?=C3=BC?="},
		{"Subject", "Grüße", "Grüße"},
		{"Subject", "\x1b[31mred\a", "[31mred"},
		{"Subject", strings.Repeat("ü", 300), strings.Repeat("ü", 250)},
		{"Subject", strings.Repeat("x", 300), strings.Repeat("x", 250)},
		{"Date", "4 Mar 2014 05:06:07 EST", "Tue, 04 Mar 2014 10:06:07 +0000"},
		{"Date", "nonsense", "Thu, 01 Jan 1970 00:00:00 +0000"},
	} {
		got := wrap(t, s, []byte(c.field+": "+c.value+"\r\n\r\ntext\r\n")).header.Get(c.field)
		switch c.field {
		case "From":
			address, err := mail.ParseAddress(got)
			if err != nil {
				t.Errorf("%q: %v", got, err)
				continue
			}
			got = address.String()
		case "Subject":
			if !strings.Contains(c.value, "=?") {
				got, _ = new(mime.WordDecoder).DecodeHeader(got)
			}
		}
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%s %q became %q, want %q", c.field, c.value, got, c.want)
		}
	}
}

// TestWrapUsesTheDateOfTransport is for a mail with no usable date of its own.
func TestWrapUsesTheDateOfTransport(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Now: clock}
	raw := "Received: by x; 4 Mar 2014 05:06:07 +0000\r\nDate: soon\r\n\r\n"
	date, err := wrap(t, s, []byte(raw)).header.Date()
	if want := time.Date(2014, 3, 4, 5, 6, 7, 0, time.UTC); err != nil || !date.Equal(want) {
		t.Errorf("%v, want %v: %v", date, want, err)
	}
}

// TestWrapIsTheSameAtAnyTime wraps a mail from the future before and after it.
func TestWrapIsTheSameAtAnyTime(t *testing.T) {
	raw := []byte("Received: by x; 4 Mar 2034 05:06:07 +0000\r\nDate: soon\r\n\r\n")
	var forms [2][]byte
	for i, at := range []time.Time{now, now.AddDate(20, 0, 0)} {
		s := &message.Spool{Dir: t.TempDir(), Now: func() time.Time { return at }}
		forms[i] = wrap(t, s, raw).raw
	}
	if !bytes.Equal(forms[0], forms[1]) {
		t.Errorf("%s\nbecame\n%s", forms[0], forms[1])
	}
}

// TestWrapOfALargeMessage goes through files on both sides.
func TestWrapOfALargeMessage(t *testing.T) {
	raw, err := io.ReadAll(corpus.Large(3_000_001))
	if err != nil {
		t.Fatal(err)
	}
	s := &message.Spool{Dir: t.TempDir(), Now: clock}
	if w := wrap(t, s, raw); !bytes.Equal(w.original, raw) {
		t.Error("the attachment differs")
	}
	s.Max = 3_000_100
	m := receive(t, s, bytes.NewReader(raw))
	forms, err := m.Attachments()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wrap(m, forms[0]); !errors.Is(err, message.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}
