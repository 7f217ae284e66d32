package pop_test

import (
	"io"
	"testing"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

// BenchmarkRetrieve fetches a mailbox of 2,000 messages over the loopback
// interface.
func BenchmarkRetrieve(b *testing.B) {
	server := serve(b, popd.Options{})
	octets := 0
	for _, m := range corpus.Ordinary(2000, 1) {
		server.Deliver(m.Raw)
		octets += len(m.Raw)
	}
	m := dial(b, overTCP(b, server))
	entries := list(b, m)
	b.SetBytes(int64(octets))
	b.ReportAllocs()
	for b.Loop() {
		err := m.Retrieve(b.Context(), entries, func(_ pop.Entry, body io.Reader, _ error) error {
			_, err := io.Copy(io.Discard, body)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
