package message

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
)

const (
	// DefaultMax is the largest message that a spool accepts unless it is told otherwise.
	DefaultMax = 1 << 30

	defaultMemory = 1 << 20
)

// ErrTooLarge is the cause of the error for a message over [Spool.Max].
var ErrTooLarge = errors.New("message too large")

// Spool takes messages in. The zero value works; all methods may be called by
// several goroutines at once. A Spool must not be copied after its first use.
type Spool struct {
	// Dir is where large messages are kept meanwhile; "" means the system's
	// folder for temporary files. It must exist.
	Dir string
	// Memory is the largest message kept in memory, in octets as received;
	// 0 means 1 MiB.
	Memory int64
	// Max is the largest message accepted, in octets as received; 0 means [DefaultMax].
	Max int64
	// Now is the clock that tells which dates lie ahead; nil means time.Now.
	Now func() time.Time

	chunks sync.Pool // of *chunk
}

// chunkSize is what is read, hashed and written at once, in octets.
const chunkSize = 16 << 10

type chunk [chunkSize]byte

func (s *Spool) chunk() *chunk {
	if c, ok := s.chunks.Get().(*chunk); ok {
		return c
	}
	return new(chunk)
}

// Receive takes in one message: what RETR gave, without its dot-stuffing. The
// caller closes it.
//
// An error of r is returned unchanged. A message over Max gives an error of the
// class fault.Held that is [ErrTooLarge]; the caller has to do away with the rest
// of r. If the temporary file fails, the class is fault.State.
func (s *Spool) Receive(r io.Reader) (*Message, error) {
	in := s.intake()
	for empty := 0; ; {
		n, err := r.Read(in.room())
		if fail := in.advance(n); fail != nil {
			in.discard()
			return nil, fail
		}
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty >= maxEmptyReads {
			err = io.ErrNoProgress
		}
		switch {
		case err == io.EOF:
			return in.message()
		case err != nil:
			in.discard()
			return nil, err
		}
	}
}

func (s *Spool) intake() *intake {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return &intake{
		spool: s, digester: newDigester(now()),
		memory: orDefault(s.Memory, defaultMemory), max: orDefault(s.Max, DefaultMax),
	}
}

func orDefault(n, def int64) int64 {
	if n == 0 {
		return def
	}
	return n
}

// intake is a message that is being taken in. Its chunks are full but for the
// last one, and digested but for the last one.
type intake struct {
	spool       *Spool
	digester    *digester
	memory, max int64

	chunks []*chunk
	used   int   // octets in the last chunk
	size   int64 // octets so far
	file   *tempFile
}

// room gives where to put the next octets. It is never empty.
func (in *intake) room() []byte {
	if len(in.chunks) == 0 || in.used == chunkSize {
		in.chunks = append(in.chunks, in.spool.chunk())
		in.used = 0
	}
	return in.chunks[len(in.chunks)-1][in.used:]
}

// advance takes the n octets that were put there.
func (in *intake) advance(n int) error {
	in.used += n
	in.size += int64(n)
	if in.size > in.max {
		return fault.New(fault.Held, "%w: more than %d octets", ErrTooLarge, in.max).
			WithHint("raise the limit for a single message, or fetch this one by other means")
	}
	if in.used < chunkSize {
		return nil
	}
	return in.seal()
}

// seal digests the last chunk.
func (in *intake) seal() error {
	if in.used == 0 {
		return nil
	}
	in.digester.write(in.chunks[len(in.chunks)-1][:in.used])
	if in.size <= in.memory {
		return nil
	}
	return in.spill()
}

// spill moves what is in memory to the file, and keeps one chunk to read into.
func (in *intake) spill() error {
	if in.file == nil {
		f, err := newTempFile(in.spool.Dir)
		if err != nil {
			return err
		}
		in.file = f
	}
	last := len(in.chunks) - 1
	for i, c := range in.chunks {
		n := chunkSize
		if i == last {
			n = in.used
		}
		if err := in.file.write(c[:n]); err != nil {
			return err
		}
	}
	in.used = 0
	in.spool.giveBack(in.chunks[1:])
	in.chunks = in.chunks[:1]
	return nil
}

// Write takes octets from a writer, as Wrap has one.
func (in *intake) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n := copy(in.room(), p[written:])
		written += n
		if err := in.advance(n); err != nil {
			return written, err
		}
	}
	return written, nil
}

// message ends the intake.
func (in *intake) message() (*Message, error) {
	if in.used < chunkSize {
		if err := in.seal(); err != nil {
			in.discard()
			return nil, err
		}
	}
	if in.file != nil || in.size == 0 {
		in.spool.giveBack(in.chunks)
		in.chunks = nil
	}
	return &Message{
		Summary: in.digester.finish(), spool: in.spool,
		chunks: in.chunks, file: in.file, received: in.size,
	}, nil
}

// discard ends an intake that failed.
func (in *intake) discard() {
	in.spool.giveBack(in.chunks)
	in.file.close()
}

func (s *Spool) giveBack(chunks []*chunk) {
	for i, c := range chunks {
		s.chunks.Put(c)
		chunks[i] = nil
	}
}
