package proxy

import (
	"bytes"
	"fmt"
	"time"
)

// Direction is one of the two ways through the proxy.
type Direction int

// Up is from the client to the target, Down from the target to the client.
const (
	Up Direction = iota
	Down
)

// String returns "up" or "down".
func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Kind is what happens when a fault strikes. The bytes before that point have been passed on;
// where a delay is set, the fault takes as long to arrive as they do.
type Kind int

const (
	// FIN ends both halves of the connection, on both sides, in good order. What either side
	// still sends is thrown away, and after a second everything is closed.
	FIN Kind = iota
	// RST resets both sides. A side that has not read everything may lose what it had not read.
	RST
	// Silence leaves both sides connected and never again carries a byte, in either direction,
	// until the proxy is closed: a line that is dead without anybody having been told.
	Silence
	// Hold keeps all further bytes of this direction for Fault.For, or until [Proxy.Release], and
	// then carries on. They arrive even if their sender has gone in the meantime.
	Hold
	// Zombie is a Hold during which the sender is cut off: its side is reset as soon as it has
	// sent nothing for 50 ms. What it sent until then arrives after the hold, followed by FIN.
	Zombie
)

// String returns the kind in lower case.
func (k Kind) String() string {
	names := [...]string{"fin", "rst", "silence", "hold", "zombie"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// Fault is one thing that goes wrong on a connection.
type Fault struct {
	// Dir is the direction whose bytes are watched.
	Dir Direction
	// When finds the place. It is required.
	When Trigger
	// Kind is what happens there.
	Kind Kind
	// For is how long a Hold or Zombie lasts. 0: until [Proxy.Release].
	For time.Duration
}

// Trigger looks at the next bytes of a direction and returns how many of them are still to be
// passed on before the fault strikes, or -1 if it does not strike there. offset counts the bytes
// seen before data. The first fault's trigger is also called, with no data, when the connection
// is made, a later one's as soon as the fault before has struck. A trigger that remembers must
// not be shared between connections.
type Trigger func(offset int64, data []byte) int

// At strikes when exactly n bytes have passed: at once for 0.
func At(n int64) Trigger {
	return func(offset int64, data []byte) int {
		if n < offset || n > offset+int64(len(data)) {
			return -1
		}
		return int(n - offset)
	}
}

// After strikes directly behind the first occurrence of pattern, however it is cut into packets.
// It does not see through TLS.
func After(pattern string) Trigger {
	var tail []byte
	return func(_ int64, data []byte) int {
		text := append(tail, data...)
		if at := bytes.Index(text, []byte(pattern)); at >= 0 {
			return at + len(pattern) - len(tail)
		}
		tail = bytes.Clone(text[max(0, len(text)-len(pattern)+1):])
		return -1
	}
}
