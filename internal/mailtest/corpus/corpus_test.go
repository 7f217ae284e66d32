package corpus_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

func TestOrdinaryIsLikeAMailbox(t *testing.T) {
	const n = 2000
	ids := map[string]bool{}
	total, large, last := 0, 0, int64(0)
	for _, m := range corpus.Ordinary(n, 1) {
		msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		date, err := msg.Header.Date()
		if err != nil || date.Unix() < last-3600 {
			t.Fatalf("%s: date %v after %v: %v", m.Name, date, last, err)
		}
		last = date.Unix()
		ids[msg.Header.Get("Message-ID")] = true
		total += len(m.Raw)
		if len(m.Raw) > 60_000 {
			large++
		}
		if !bytes.Equal(m.Raw, corpus.Canonical(m.Raw)) {
			t.Errorf("%s is not canonical", m.Name)
		}
	}
	if len(ids) != n || ids[""] {
		t.Errorf("%d Message-IDs for %d messages", len(ids), n)
	}
	if mean := total / n; mean < 14_000 || mean > 20_000 {
		t.Errorf("%d octets on average", mean)
	}
	if large < n/100 || large > n/10 {
		t.Errorf("%d of %d messages are large", large, n)
	}
}

func TestOrdinaryIsTheSameForASeed(t *testing.T) {
	a, b, c := corpus.Ordinary(20, 1), corpus.Ordinary(20, 1), corpus.Ordinary(20, 2)
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) {
			t.Errorf("message %d differs for one seed", i)
		}
		if bytes.Equal(a[i].Raw, c[i].Raw) {
			t.Errorf("message %d is the same for two seeds", i)
		}
	}
}

// TestHardHasEveryRow holds that no row is without mail, that names are unique,
// and that contents are, but for the copies of D4.
func TestHardHasEveryRow(t *testing.T) {
	names, contents := map[string]bool{}, map[[32]byte]string{}
	total := 0
	for _, m := range corpus.Hard() {
		total += len(m.Raw)
		if names[m.Name] {
			t.Errorf("two mails are called %s", m.Name)
		}
		names[m.Name] = true
		sum := sha256.Sum256(corpus.Canonical(m.Raw))
		other, found := contents[sum]
		if found && !strings.HasPrefix(m.Name, "D4/") {
			t.Errorf("%s is a copy of %s", m.Name, other)
		}
		contents[sum] = m.Name
	}
	if copies := len(names) - len(contents); copies != 6 {
		t.Errorf("%d copies", copies)
	}
	if total > 10<<20 {
		t.Errorf("%d octets in all", total)
	}
	for row := 1; row <= 20; row++ {
		if len(corpus.Row(fmt.Sprintf("D%d", row))) == 0 {
			t.Errorf("no mail for row D%d", row)
		}
	}
}

// TestHardIsWhatItSays looks for what is hard in some mails, where a slip in
// their making would go unnoticed.
func TestHardIsWhatItSays(t *testing.T) {
	has := func(name, what string) {
		t.Helper()
		for _, m := range corpus.Hard() {
			if m.Name == name {
				if !strings.Contains(string(m.Raw), what) {
					t.Errorf("%s has no %.40q", name, what)
				}
				return
			}
		}
		t.Errorf("no %s", name)
	}
	has("D6/empty-line-lf", "\r\n\nline")
	has("D7/all-cr-cr-lf", "\r\r\n\r\r\nline")
	has("D7/header-ends-cr-cr-lf", "cr-cr-lf\r\n\r\r\nline")
	has("D8/first", "\x00Received")
	has("D9/bom", "\xef\xbb\xbfReceived")
	has("D9/utf-16", "\xfe\xff\x00F\x00r\x00o\x00m")
	has("D11/header-160000", strings.Repeat("h", 150_000))
	has("D13/starts-with-empty-line", "\r\nReceived")
	has("D15/lone-dot", "\r\n.\r\n")
	has("D15/dot-at-4096", "y\r\n.\r\n")
	has("D18/100000-fields", "\r\nX-99999: x\r\n")
	for _, at := range []int{4096, 16384, 65536} {
		for _, m := range corpus.Hard() {
			if m.Name == fmt.Sprintf("D10/exactly-%d", at) && len(m.Raw) != at {
				t.Errorf("%s has %d octets", m.Name, len(m.Raw))
			}
			if m.Name == fmt.Sprintf("D15/dot-at-%d", at) && m.Raw[at] != '.' {
				t.Errorf("%s has no dot there", m.Name)
			}
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a\r\n", "a\n": "a\r\n", "a\r\n": "a\r\n", "\n": "\r\n", "\n\n": "\r\n\r\n",
		"a\r": "a\r\r\n", "a\r\r\n": "a\r\r\n", "\n\r": "\r\n\r\r\n", "a\x00": "a\x80\r\n",
		"\r\x00\n": "\r\x80\r\n", "a\rb\n": "a\rb\r\n",
	} {
		if got := string(corpus.Canonical([]byte(in))); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLargeHasItsSize(t *testing.T) {
	for _, size := range []int64{1 << 10, 1<<20 + 1, 5_000_003} {
		raw, err := io.ReadAll(corpus.Large(size))
		if err != nil || int64(len(raw)) != size {
			t.Errorf("%d octets instead of %d: %v", len(raw), size, err)
		}
		if _, err := mail.ReadMessage(bytes.NewReader(raw)); err != nil {
			t.Error(err)
		}
		if !bytes.HasSuffix(raw, []byte("\r\n")) {
			t.Error("no final CRLF")
		}
	}
}
