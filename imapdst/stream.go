package imapdst

import (
	"bufio"
	"errors"
	"io"
	"sync/atomic"
)

const (
	// streamBuffer gathers small messages into few packets and TLS records.
	streamBuffer = 128 << 10
	// streamChunk is written at once; progress shows between chunks.
	streamChunk = 64 << 10
)

var errBodySize = errors.New("the message does not have the size it was said to have")

// stream is the buffered way out for APPEND. It counts what may have left: the
// octets of a write that failed count too, since nobody knows.
type stream struct {
	guard     *guard
	buffer    *bufio.Writer
	queued    int64        // octets written to the buffer
	attempted atomic.Int64 // octets given to the connection
}

func newStream(g *guard) *stream {
	s := &stream{guard: g}
	s.buffer = bufio.NewWriterSize(streamOut{s}, streamBuffer)
	return s
}

func (s *stream) Write(p []byte) (int, error) {
	s.queued += int64(len(p))
	return s.buffer.Write(p)
}

// text queues control data. An error shows at the next flush at the latest.
func (s *stream) text(parts ...string) {
	for _, part := range parts {
		s.queued += int64(len(part))
		s.buffer.WriteString(part)
	}
}

func (s *stream) flush() error { return s.buffer.Flush() }

// mayHaveLeft tells whether the octet before position may have been sent.
func (s *stream) mayHaveLeft(position int64) bool { return s.attempted.Load() >= position }

type streamOut struct{ s *stream }

func (o streamOut) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		chunk := p[written:min(len(p), written+streamChunk)]
		o.s.attempted.Add(int64(len(chunk)))
		n, err := o.s.guard.conn.Write(chunk)
		written += n
		o.s.guard.serve()
		if err != nil {
			return written, o.s.guard.fail(err)
		}
	}
	return written, nil
}

// body passes on exactly as many octets as the literal announced (RFC 3501
// §4.3): with fewer the server would take the next command for message data.
type body struct {
	out  io.Writer
	left int64
	last func() // called before the last octet is written
}

func (b *body) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, errBodySize
	}
	b.left -= int64(len(p))
	if b.left == 0 {
		b.last()
	}
	return b.out.Write(p)
}
