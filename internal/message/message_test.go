package message_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func receive(t *testing.T, s *message.Spool, r io.Reader) *message.Message {
	t.Helper()
	m, err := s.Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func summarize(t *testing.T, raw string) message.Summary {
	t.Helper()
	s, err := message.Summarize(strings.NewReader(raw), now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// delivered is the delivered form, made in another way than the package does.
func delivered(raw []byte) []byte {
	out := bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	out = bytes.ReplaceAll(out, []byte("\n"), []byte("\r\n"))
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return out
}

// mails is all that the corpus has, ordinary and hard.
func mails() []corpus.Mail { return append(corpus.Ordinary(100, 7), corpus.Hard()...) }

// expected is what must come of a message.
type expected struct {
	raw, delivered []byte
	content        message.Digest
}

func expect(raw []byte) expected {
	return expected{raw, delivered(raw), sha256.Sum256(corpus.Canonical(raw))}
}

// check holds a received message against what must come of it.
func (want expected) check(t *testing.T, m *message.Message) {
	t.Helper()
	for range 2 { // a batch that is split asks again
		var out bytes.Buffer
		if n, err := m.WriteTo(&out); err != nil || n != m.Size {
			t.Fatalf("wrote %d octets of %d: %v", n, m.Size, err)
		}
		if !bytes.Equal(out.Bytes(), want.delivered) {
			t.Fatalf("delivered %.60q, want %.60q", out.Bytes(), want.delivered)
		}
	}
	if m.Raw != int64(len(want.raw)) || m.Size != int64(len(want.delivered)) {
		t.Errorf("raw %d and size %d, want %d and %d", m.Raw, m.Size, len(want.raw), len(want.delivered))
	}
	if m.Content != want.content {
		t.Error("wrong content digest")
	}
}

func check(t *testing.T, m *message.Message, raw []byte) {
	t.Helper()
	expect(raw).check(t, m)
}

// readers gives a message in different pieces.
func readers(raw []byte) map[string]io.Reader {
	random := rand.New(rand.NewPCG(1, uint64(len(raw))))
	return map[string]io.Reader{
		"whole":     bytes.NewReader(raw),
		"halves":    iotest.HalfReader(bytes.NewReader(raw)),
		"last+EOF":  iotest.DataErrReader(bytes.NewReader(raw)),
		"by line":   &lineReader{left: raw},
		"by chance": &chanceReader{left: raw, rand: random},
	}
}

// lineReader gives one line at most, as the connection to a POP3 server does.
type lineReader struct{ left []byte }

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	line := r.left
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i+1]
	}
	n := copy(p, line)
	r.left = r.left[n:]
	return n, nil
}

// chanceReader gives any number of octets, sometimes none.
type chanceReader struct {
	left []byte
	rand *rand.Rand
}

func (r *chanceReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left[:r.rand.IntN(min(len(r.left), 9000)+1)])
	r.left = r.left[n:]
	return n, nil
}

// TestReceive takes in every mail of the corpus, in memory and through a file,
// in pieces of all sorts: octets and facts are always the same, and those that
// Summarize finds.
func TestReceive(t *testing.T) {
	memory := &message.Spool{Dir: t.TempDir(), Memory: 64 << 20, Now: clock}
	file := &message.Spool{Dir: t.TempDir(), Memory: 1, Now: clock}
	for _, mail := range mails() {
		t.Run(mail.Name, func(t *testing.T) {
			want, octets := summarize(t, string(mail.Raw)), expect(mail.Raw)
			for how := range readers(mail.Raw) {
				for _, s := range []*message.Spool{memory, file} {
					r := readers(mail.Raw)[how]
					m, err := s.Receive(r)
					if err != nil {
						t.Fatalf("%s: %v", how, err)
					}
					octets.check(t, m)
					if m.Summary != want {
						t.Errorf("%s: %+v, Summarize says %+v", how, m.Summary, want)
					}
					held := len(mail.Raw) == 1 || s == memory && len(mail.Raw) > 1
					if held != (m.InMemory() > 0) {
						t.Errorf("holds %d octets of memory", m.InMemory())
					}
					if err := m.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// TestReceiveOctetByOctet is the one way of reading that is too slow for all.
// TestWriteOriginal: what was received can be had back, repaired for delivery or
// not, in memory or in a file.
func TestWriteOriginal(t *testing.T) {
	for _, memory := range []int64{1, 1 << 20} {
		spool := &message.Spool{Dir: t.TempDir(), Memory: memory}
		for _, mail := range mails() {
			m := receive(t, spool, bytes.NewReader(mail.Raw))
			var got bytes.Buffer
			n, err := m.WriteOriginal(&got)
			if err != nil || n != m.Raw || !bytes.Equal(got.Bytes(), mail.Raw) {
				t.Errorf("%s: %d octets written of %d, %v", mail.Name, n, m.Raw, err)
			}
		}
	}
}

func TestReceiveOctetByOctet(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 5000, Now: clock}
	for _, mail := range mails() {
		if len(mail.Raw) > 70_000 {
			continue
		}
		m := receive(t, s, iotest.OneByteReader(bytes.NewReader(mail.Raw)))
		check(t, m, mail.Raw)
		if want := summarize(t, string(mail.Raw)); m.Summary != want {
			t.Errorf("%s: %+v, want %+v", mail.Name, m.Summary, want)
		}
	}
}

// TestReceiveAroundBuffers puts the end of a message, and a CRLF, at each side
// of where a chunk or the memory limit ends.
func TestReceiveAroundBuffers(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 48 << 10}
	for _, size := range []int{16 << 10, 32 << 10, 48 << 10, 64 << 10} {
		for d := -3; d <= 3; d++ {
			raw := []byte("A: b\r\n\r\n" + strings.Repeat("x", size+d-8))
			check(t, receive(t, s, bytes.NewReader(raw)), raw)
			raw = append(raw, "\r\ny\nz\n"...)
			m := receive(t, s, bytes.NewReader(raw))
			check(t, m, raw)
			if inFile := m.InMemory() == 0; inFile != (len(raw) > 48<<10) {
				t.Errorf("%d octets: %d in memory", len(raw), m.InMemory())
			}
		}
	}
}

func TestReceiveLimit(t *testing.T) {
	for _, limit := range []int64{1, 100, 16 << 10, 40_000} {
		s := &message.Spool{Dir: t.TempDir(), Memory: 20_000, Max: limit}
		raw := bytes.Repeat([]byte("x"), int(limit))
		check(t, receive(t, s, bytes.NewReader(raw)), raw)
		_, err := s.Receive(bytes.NewReader(append(raw, 'x')))
		if !errors.Is(err, message.ErrTooLarge) || fault.CodeOf(err) != fault.Held {
			t.Errorf("limit %d: error %v", limit, err)
		}
	}
}

// TestReceiveCutShort holds that no part of a message is ever taken for all of
// it: the reader's error comes back as it is, whatever it is.
func TestReceiveCutShort(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 20_000}
	cause := fault.New(fault.Temporary, "connection lost")
	for _, fail := range []error{io.ErrUnexpectedEOF, cause} {
		for _, n := range []int{0, 1, 100, 16 << 10, 16<<10 + 1, 50_000} {
			r := func() io.Reader {
				return io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(fail))
			}
			if _, err := s.Receive(r()); err != fail {
				t.Errorf("Receive after %d octets: error %v, want %v", n, err, fail)
			}
			if _, err := message.Summarize(r(), now); err != fail {
				t.Errorf("Summarize after %d octets: error %v, want %v", n, err, fail)
			}
			if _, err := message.SummarizeHeader(r(), now); err != fail {
				t.Errorf("SummarizeHeader after %d octets: error %v, want %v", n, err, fail)
			}
		}
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestReceiveFromReaderThatGivesNothing(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir()}
	if _, err := s.Receive(emptyReader{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Receive: %v", err)
	}
	if _, err := message.Summarize(emptyReader{}, now); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Summarize: %v", err)
	}
}

type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) <= w.left {
		w.left -= len(p)
		return len(p), nil
	}
	n := w.left
	w.left = 0
	return n, w.err
}

func TestWriteToReportsTheWriter(t *testing.T) {
	broken := errors.New("broken pipe")
	for _, memory := range []int64{1, 1 << 20} {
		s := &message.Spool{Dir: t.TempDir(), Memory: memory}
		for _, raw := range []string{strings.Repeat("x\r\n", 20_000), strings.Repeat("x\n", 20_000)} {
			m := receive(t, s, strings.NewReader(raw))
			for _, left := range []int{0, 1, 17_000, int(m.Size) - 1} {
				n, err := m.WriteTo(&failingWriter{left: left, err: broken})
				if n != int64(left) || err != broken {
					t.Errorf("wrote %d of %d: %v", n, left, err)
				}
				if _, err = m.WriteTo(&failingWriter{left: left}); err != io.ErrShortWrite {
					t.Errorf("short write: %v", err)
				}
			}
			check(t, m, []byte(raw))
		}
	}
}

func TestClose(t *testing.T) {
	for _, memory := range []int64{1, 1 << 20} {
		s := &message.Spool{Dir: t.TempDir(), Memory: memory}
		m := receive(t, s, strings.NewReader("Subject: x\r\n\r\ntext\r\n"))
		for range 2 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if m.InMemory() != 0 {
			t.Error("memory is still held")
		}
		if _, err := m.WriteTo(io.Discard); fault.CodeOf(err) != fault.Internal {
			t.Errorf("WriteTo after Close: %v", err)
		}
		if _, err := s.Wrap(m, message.Attachment{}); fault.CodeOf(err) != fault.Internal {
			t.Errorf("Wrap after Close: %v", err)
		}
	}
}

// TestSpoolIsSharedSafely holds that messages never get each other's memory,
// though it is used again.
func TestSpoolIsSharedSafely(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir(), Memory: 40_000}
	all := corpus.Ordinary(60, 3)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			var open []*message.Message
			var from []corpus.Mail
			for i := range 90 {
				mail := all[(i*7+worker)%len(all)]
				m, err := s.Receive(bytes.NewReader(mail.Raw))
				if err != nil {
					t.Error(err)
					return
				}
				open, from = append(open, m), append(from, mail)
				if len(open) < 10 {
					continue
				}
				var out bytes.Buffer
				if _, err := open[0].WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), from[0].Raw) {
					t.Errorf("%s changed: %v", from[0].Name, err)
				}
				open[0].Close()
				open, from = open[1:], from[1:]
			}
			for _, m := range open {
				m.Close()
			}
		})
	}
	wg.Wait()
}

// TestCleanSpool (T13): what a killed process left goes, and nothing else.
func TestCleanSpool(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"popferry-1.eml", "popferry-2345.eml", "mine.eml", "popferry-x.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "popferry-dir.eml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := message.CleanSpool(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 3 || filepath.Base(left[0]) != "mine.eml" {
		t.Errorf("left: %q, %v", left, err)
	}
	if err := message.CleanSpool(filepath.Join(dir, "missing")); fault.CodeOf(err) != fault.State {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestSpoolWithoutItsFolder(t *testing.T) {
	s := &message.Spool{Dir: t.TempDir() + "/missing", Memory: 1}
	_, err := s.Receive(strings.NewReader("text"))
	if fault.CodeOf(err) != fault.State || fault.HintOf(err) == "" {
		t.Errorf("error %v with hint %q", err, fault.HintOf(err))
	}
}
