package message_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

// seed gives a fuzzer the corpus, without what is too large to be of use.
func seed(f *testing.F) {
	for _, m := range corpus.Hard() {
		if len(m.Raw) < 5000 {
			f.Add(m.Raw)
		}
	}
}

// pieces are what hard messages are made of.
var pieces = []string{
	"\r", "\n", "\r\n", "\r\n", "\r\n\r\n", "\r\r\n", "\x00", "\x80",
	" ", "\t", ".", ":", "<", ">", ";",
	"Subject: x", "Message-ID: <a@example.org>", "message-id:", "Status: RO", "X-Gmail-A: b",
	"Received: by x; 4 Mar 2014 05:06:07 +0100", "Date: 4 Mar 2014 05:06:07 +0100", "From a@b Tue",
	"no colon", "N\xe4me: x", strings.Repeat("x", 1023), strings.Repeat(" ", 1024),
	strings.Repeat("y", 16<<10),
}

// drawMessage makes a message of such pieces.
func drawMessage(t *rapid.T) []byte {
	parts := rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces")
	return []byte(strings.Join(parts, ""))
}

// TestSummaryProperties holds for all messages: how they are cut into pieces and
// where they are kept makes no difference, and neither does a transport that
// changes line ends or NUL.
func TestSummaryProperties(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 20_000, Now: clock}
	rapid.Check(t, func(rt *rapid.T) {
		raw := drawMessage(rt)
		want := summarize(t, string(raw))
		if want.Content != sha256.Sum256(corpus.Canonical(raw)) {
			rt.Fatal("wrong content digest")
		}
		cut := rapid.IntRange(0, len(raw)).Draw(rt, "cut")
		m, err := s.Receive(&cutReader{parts: [][]byte{raw[:cut], raw[cut:]}})
		if err != nil {
			rt.Fatal(err)
		}
		defer m.Close()
		if m.Summary != want {
			rt.Fatalf("received %+v, summarized %+v", m.Summary, want)
		}
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), delivered(raw)) {
			rt.Fatalf("delivered %q: %v", out.Bytes(), err)
		}
		sameAfterTransport(rt, t, want, corpus.Canonical(raw))
	})
}

// sameAfterTransport holds the digests of a message against those of the same
// message after transports that they have to survive.
func sameAfterTransport(rt *rapid.T, t *testing.T, want message.Summary, canonical []byte) {
	forms := map[string][]byte{"canonical": canonical}
	end := []byte("\r\n")
	if cut := bytes.TrimSuffix(canonical, end); len(cut) > 0 && !bytes.HasSuffix(cut, end) {
		forms["no end"] = cut
	}
	if !bytes.Contains(canonical, []byte("\r\r\n")) {
		forms["LF"] = bytes.ReplaceAll(canonical, []byte("\r\n"), []byte("\n"))
	}
	for name, form := range forms {
		got := summarize(t, string(form))
		if got.Content != want.Content || got.Header != want.Header || got.Body != want.Body ||
			got.Loose != want.Loose || got.MessageID != want.MessageID || got.Size != want.Size ||
			got.Date != want.Date {
			rt.Fatalf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// cutReader gives its parts one by one.
type cutReader struct{ parts [][]byte }

func (r *cutReader) Read(p []byte) (int, error) {
	for len(r.parts) > 0 && len(r.parts[0]) == 0 {
		r.parts = r.parts[1:]
	}
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.parts[0])
	r.parts[0] = r.parts[0][n:]
	return n, nil
}

// TestAddedFieldsProperty holds that what servers add anywhere between fields
// never changes the identity.
func TestAddedFieldsProperty(t *testing.T) {
	added := []string{
		"Status: RO\r\n", "x-uid: 7\r\n folded\r\n", "X-GMAIL-X: y\r\n", "Lines: 1\r\n\t2\r\n",
	}
	rapid.Check(t, func(rt *rapid.T) {
		field := rapid.SampledFrom([]string{
			"Subject: x\r\n", "X-Other: y\r\n folded\r\n", "Received: by x\r\n", "Message-ID: <a@b>\r\n",
		})
		var with, without strings.Builder
		for _, f := range rapid.SliceOf(field).Draw(rt, "fields") {
			with.WriteString(rapid.SampledFrom(append(added, "")).Draw(rt, "added"))
			with.WriteString(f)
			without.WriteString(f)
		}
		a, b := summarize(t, with.String()+"\r\ntext"), summarize(t, without.String()+"\r\ntext")
		if _, ok := a.Same(b); !ok || a.Header != b.Header || a.Body != b.Body {
			rt.Fatalf("%q and %q differ", with.String(), without.String())
		}
	})
}

// TestDateProperty holds that every date that is written by the standard is read
// as it was meant, in every zone.
func TestDateProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seconds := rapid.Int64Range(0, now.Unix()).Draw(rt, "seconds")
		minutes := rapid.IntRange(-14*60, 14*60).Draw(rt, "zone")
		date := time.Unix(seconds, 0).In(time.FixedZone("", minutes*60))
		layout := rapid.SampledFrom([]string{
			time.RFC1123Z, "2 Jan 2006 15:04:05 -0700 (MST)", "Mon, 2 Jan 2006 15:04:05 -0700",
			"Mon Jan _2 15:04:05 2006 -0700", "02-Jan-2006 15:04:05 -0700",
		}).Draw(rt, "layout")
		got := summarize(t, "Date: "+date.Format(layout)+"\r\n\r\n").Date
		if !got.Equal(date) {
			rt.Fatalf("%s read as %v", date.Format(layout), got)
		}
	})
}

// FuzzReceive holds a message of any octets against the plain oracle, in memory
// and through a file, and against its own canonical form.
func FuzzReceive(f *testing.F) {
	seed(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		want := summarize(t, string(raw))
		for _, memory := range []int64{1, 1 << 20} {
			s := &message.Spool{Dir: dir, Memory: memory, Now: clock}
			m := receive(t, s, iotest.HalfReader(bytes.NewReader(raw)))
			check(t, m, raw)
			if m.Summary != want {
				t.Errorf("%+v, want %+v", m.Summary, want)
			}
		}
		canonical := summarize(t, string(corpus.Canonical(raw)))
		if canonical.Content != want.Content || canonical.Header != want.Header ||
			canonical.Body != want.Body || canonical.Loose != want.Loose {
			t.Errorf("%+v, canonical %+v", want, canonical)
		}
	})
}

// FuzzWrap wraps any octets and gets them back.
func FuzzWrap(f *testing.F) {
	seed(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		w := wrap(t, &message.Spool{Dir: dir, Now: clock}, raw)
		if !bytes.Equal(w.original, raw) {
			t.Errorf("got %q back", w.original)
		}
		if bad := notPlain(w.raw); bad != nil {
			t.Errorf("%.60q is not plain", bad)
		}
		if _, err := mail.ParseAddress(w.header.Get("From")); err != nil {
			t.Errorf("from %q: %v", w.header.Get("From"), err)
		}
	})
}

// FuzzHeader looks for fields that are read in a way that can't be right.
func FuzzHeader(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := message.SummarizeHeader(bytes.NewReader(raw), now)
		if err != nil {
			t.Fatal(err)
		}
		id := s.MessageID
		if id != "" && (len(id) < 3 || len(id) > 900 || id[0] != '<' || id[len(id)-1] != '>') {
			t.Errorf("Message-ID %q", id)
		}
		if id != "" && summarize(t, "Message-ID: "+id+"\r\n\r\n").Loose.IsZero() {
			t.Errorf("Message-ID %q is lost", id)
		}
		if !s.Date.IsZero() && (s.Date.Unix() < 0 || s.Date.After(now.Add(24*time.Hour))) {
			t.Errorf("date %v", s.Date)
		}
		if s.Date.IsZero() != (s.DateFrom == "") {
			t.Errorf("date %v from %q", s.Date, s.DateFrom)
		}
		if !s.Content.IsZero() || !s.Body.IsZero() || s.Size != 0 || s.Raw != 0 {
			t.Errorf("%+v tells of more than the header", s)
		}
	})
}
