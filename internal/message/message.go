package message

import (
	"bytes"
	"errors"
	"io"
)

// Message is one message, in memory or in a temporary file. Its Summary is not
// to be changed. A Message is for one goroutine at a time.
type Message struct {
	Summary

	spool    *Spool
	chunks   []*chunk  // all full but the last; nil when there is a file
	file     *tempFile // nil when it is in memory
	received int64     // octets in chunks or file
	closed   bool
}

// WriteTo writes the message as it is delivered, exactly Size octets, and may be
// called again. An error of w is returned unchanged; the class is fault.State if
// the temporary file fails, and fault.Internal after Close.
func (m *Message) WriteTo(w io.Writer) (written int64, err error) {
	put := counted(w, &written)
	if m.Raw == m.Size { // nothing to change
		return written, m.each(put)
	}
	var ends lineEnds
	err = m.each(func(p []byte) error { return put(ends.next(p)) })
	if tail := ends.tail(); err == nil && len(tail) > 0 {
		err = put(tail)
	}
	return written, err
}

// WriteOriginal writes the message as it was received, exactly Raw octets. It is
// in all else like WriteTo.
func (m *Message) WriteOriginal(w io.Writer) (written int64, err error) {
	err = m.each(counted(w, &written))
	return written, err
}

// Head gives the beginning of the message as received, n octets at most: all of its
// header, if that is no longer, and perhaps more.
func (m *Message) Head(n int) ([]byte, error) {
	var head []byte
	err := m.each(func(p []byte) error {
		head = append(head, p[:min(len(p), n-len(head))]...)
		if len(head) == n || bytes.Contains(head, []byte("\n\r\n")) || bytes.Contains(head, []byte("\n\n")) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return head, err
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// counted gives the writing of pieces to w, which takes all of a piece or fails.
func counted(w io.Writer, written *int64) func([]byte) error {
	return func(p []byte) error {
		n, err := w.Write(p)
		*written += int64(n)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	}
}

// each gives the octets as received, in pieces.
func (m *Message) each(use func([]byte) error) error {
	if m.closed {
		return errClosed()
	}
	if m.file != nil {
		return m.eachOfFile(use)
	}
	left := m.received
	for _, c := range m.chunks {
		n := min(left, chunkSize)
		if err := use(c[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (m *Message) eachOfFile(use func([]byte) error) error {
	c := m.spool.chunk()
	defer m.spool.chunks.Put(c)
	for at := int64(0); at < m.received; {
		n, err := m.file.ReadAt(c[:min(m.received-at, chunkSize)], at)
		if n == 0 { // io.EOF too: somebody has cut the file
			return spoolFault("read", err)
		}
		if err := use(c[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// InMemory gives the octets of memory that the message holds until it is closed.
func (m *Message) InMemory() int64 { return int64(len(m.chunks)) * chunkSize }

// Close gives the memory back, or removes the file. Closing again does nothing.
func (m *Message) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	m.spool.giveBack(m.chunks)
	m.chunks = nil
	return m.file.close()
}
