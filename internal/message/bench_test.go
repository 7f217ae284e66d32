package message_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/message"
)

// BenchmarkReceive takes in 2,000 ordinary messages, about 34 MB, and writes them
// out again, in each round.
func BenchmarkReceive(b *testing.B) {
	mails := corpus.Ordinary(2000, 1)
	for _, form := range []string{"crlf", "lf"} {
		size := int64(0)
		for i, m := range mails {
			if form == "lf" {
				mails[i].Raw = bytes.ReplaceAll(m.Raw, []byte("\r\n"), []byte("\n"))
			}
			size += int64(len(mails[i].Raw))
		}
		b.Run(form, func(b *testing.B) {
			s := &message.Spool{Dir: b.TempDir(), Now: clock}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for _, mail := range mails {
					m, err := s.Receive(bytes.NewReader(mail.Raw))
					if err != nil {
						b.Fatal(err)
					}
					if _, err := m.WriteTo(io.Discard); err != nil {
						b.Fatal(err)
					}
					m.Close()
				}
			}
		})
	}
}

// BenchmarkGigabyte takes in one message of 1 GiB through a file.
func BenchmarkGigabyte(b *testing.B) {
	s := &message.Spool{Dir: b.TempDir(), Now: clock}
	b.SetBytes(1 << 30)
	b.ReportAllocs()
	for b.Loop() {
		m, err := s.Receive(corpus.Large(1 << 30))
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}

// BenchmarkHeaderField reads what the index of a folder asks for, per message.
func BenchmarkHeaderField(b *testing.B) {
	field := []byte("Message-ID: <20140304.050607@hard.example.org>\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := message.SummarizeHeader(bytes.NewReader(field), now); err != nil {
			b.Fatal(err)
		}
	}
}
