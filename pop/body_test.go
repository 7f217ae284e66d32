package pop

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// send makes of a message what RFC 1939 §3 puts on the wire, octet by octet.
func send(message []byte, lineEnd string) []byte {
	var wire []byte
	start := true
	for i, c := range message {
		if start && c == '.' {
			wire = append(wire, '.')
		}
		wire = append(wire, c)
		start = bytes.HasSuffix(message[:i+1], []byte(lineEnd))
	}
	if !start {
		wire = append(wire, lineEnd...)
	}
	return append(wire, "."+lineEnd...)
}

// received is what a server that adds a missing line end delivers.
func received(message []byte, lineEnd string) string {
	if len(message) > 0 && !bytes.HasSuffix(message, []byte(lineEnd)) {
		return string(message) + lineEnd
	}
	return string(message)
}

// receive reads a body and what is behind it. A small buffer makes line ends and
// dots fall on its edge.
func receive(wire []byte, size int, bare bool, via func(io.Reader) io.Reader) (
	body, rest string, err error,
) {
	r := bufio.NewReaderSize(via(bytes.NewReader(wire)), size)
	octets, err := io.ReadAll(newBody(r, bare, nil))
	behind, _ := io.ReadAll(r)
	return string(octets), string(behind), err
}

func whole(r io.Reader) io.Reader { return r }

// For all messages: undoing the dots gives back what the server had, however the
// octets arrive, and not one octet behind the terminator is taken.
func TestBodyIsExact(t *testing.T) {
	octets := rapid.SliceOf(rapid.SampledFrom([]byte(".\r\n.\r\nax\x00\xff")))
	rapid.Check(t, func(t *rapid.T) {
		message := octets.Draw(t, "message")
		size := rapid.IntRange(16, 40).Draw(t, "buffer")
		lineEnd := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "line end")
		if lineEnd == "\n" { // there CR before LF belongs to the line end
			message = bytes.ReplaceAll(message, []byte("\r"), nil)
		}
		wire := append(send(message, lineEnd), "+OK next"...)
		for name, via := range map[string]func(io.Reader) io.Reader{
			"whole": whole, "one by one": iotest.OneByteReader, "half": iotest.HalfReader,
		} {
			body, rest, err := receive(wire, size, lineEnd == "\n", via)
			if want := received(message, lineEnd); err != nil || body != want || rest != "+OK next" {
				t.Fatalf("%s: got %q, %v, then %q; want %q", name, body, err, rest, want)
			}
		}
	})
}

func TestBodyWriteTo(t *testing.T) {
	message := []byte(strings.Repeat("line\r\n.dot\r\n", 1000))
	var got bytes.Buffer
	r := bufio.NewReaderSize(bytes.NewReader(send(message, "\r\n")), 64)
	n, err := io.Copy(&got, newBody(r, false, nil))
	if err != nil || n != int64(len(message)) || !bytes.Equal(got.Bytes(), message) {
		t.Errorf("copied %d of %d octets, %v", n, len(message), err)
	}
	broken := errors.New("disk full")
	r.Reset(bytes.NewReader(send(message, "\r\n")))
	if _, err := io.Copy(failing{broken}, newBody(r, false, nil)); !errors.Is(err, broken) {
		t.Errorf("the writer's error became %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Each part of a reply is an error, never a message.
func TestBodyCut(t *testing.T) {
	wire := send([]byte("a\r\n.\r\n..\r\nb\r\n"), "\r\n")
	for cut := range len(wire) {
		body, _, err := receive(wire[:cut], 16, false, whole)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q gave %q and %v", wire[:cut], body, err)
		}
	}
}

func TestBodyErrorsAreFinal(t *testing.T) {
	refused := errors.New("refused")
	r := bufio.NewReader(strings.NewReader("a\r\n.\r\nmore\r\n"))
	b := newBody(r, false, func() (bool, error) { return false, refused })
	for range 3 {
		if _, err := io.ReadAll(b); !errors.Is(err, refused) {
			t.Errorf("ReadAll gave %v", err)
		}
	}
	if n, err := b.Read(nil); n != 0 || !errors.Is(err, refused) {
		t.Errorf("Read of nothing gave %d, %v", n, err)
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		"", ".\r\n", "a\r\n.\r\n", "..\r\n.\r\n", ".\n.\r\n.\r\n", "\r\r\n.\r.\r\n.\r\n",
		"a\n.\nb\r\n.\r\n",
		"..", ".\r", "\r\n..\r\n..x\r\n\r\n.\r\nrest",
	} {
		f.Add([]byte(seed), 16, false)
		f.Add([]byte(seed), 20, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int, bare bool) {
		size = 16 + size&63
		one, restOne, errOne := receive(data, size, bare, whole)
		two, restTwo, errTwo := receive(data, 16, bare, iotest.OneByteReader)
		if one != two || restOne != restTwo || (errOne == nil) != (errTwo == nil) {
			t.Fatalf("chunking matters: %q %q %v, %q %q %v", one, restOne, errOne, two, restTwo, errTwo)
		}
		// What is sent as a message comes back as that message.
		back, rest, err := receive(send(data, "\r\n"), size, false, whole)
		if err != nil || back != received(data, "\r\n") || rest != "" {
			t.Fatalf("sent %q, got %q, %v, then %q", data, back, err, rest)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	text := strings.Repeat("A line as they are in mail. It has a few dots...\r\n", 1<<14)
	dots := strings.Repeat(".starts with a dot\r\n", 1<<14)
	for name, message := range map[string]string{"text": text, "dots": dots} {
		wire := send([]byte(message), "\r\n")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			source := bytes.NewReader(wire)
			r := bufio.NewReaderSize(source, 64<<10)
			buf := make([]byte, 32<<10)
			for b.Loop() {
				source.Reset(wire)
				r.Reset(source)
				body := newBody(r, false, nil)
				for {
					if _, err := body.Read(buf); err != nil {
						break
					}
				}
			}
		})
	}
}
