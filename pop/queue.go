package pop

import (
	"fmt"
	"strings"
)

// windowBytes bounds the announced sizes of the messages that are on their way. They
// wait in the buffers of the network and of the server and cost no memory here; what
// counts is that a long round trip is filled.
const windowBytes = 32 << 20

// queue sends one command for each entry and keeps a window of them on their way
// (RFC 2449 §6.6). Without PIPELINING the window is one command.
//
// A new packet goes out when half of the window was answered: a packet for each
// answer would cost a system call and a TLS record each, and an empty window
// would cost a round trip.
type queue struct {
	m       *Maildrop
	entries []Entry
	// command gives the line for an entry, and the octets to expect.
	command func(Entry) (line string, size int64)
	window  int
	// named has a LIST of the same message behind each command; see step.go.
	named  bool
	sent   int
	open   int   // commands whose reply was not read to its end
	octets int64 // announced for those
}

func newQueue(m *Maildrop, entries []Entry, command func(Entry) (string, int64)) *queue {
	window := 1
	if m.caps.Pipelining {
		window = m.options.Window
	}
	return &queue{m: m, entries: entries, command: command, window: window}
}

// refill sends the next packet when it is time for one.
func (q *queue) refill() error {
	if q.open > 0 && (q.open > q.window/2 || q.octets > windowBytes/2) {
		return nil
	}
	var packet strings.Builder
	before := q.open
	for q.sent < len(q.entries) && q.add(&packet) {
	}
	if packet.Len() == 0 {
		return nil
	}
	return q.m.send(packet.String(), before)
}

// add puts the next command into the packet if the window has room for it; one
// always has.
func (q *queue) add(packet *strings.Builder) bool {
	e := q.entries[q.sent]
	line, size := q.command(e)
	if q.open > 0 && (q.open >= q.window || q.octets+size > windowBytes) {
		return false
	}
	packet.WriteString(line)
	packet.WriteString("\r\n")
	if q.named {
		fmt.Fprintf(packet, "LIST %d\r\n", e.Number)
	}
	q.sent++
	q.open++
	q.octets += size
	return true
}

// stop has nothing sent that was not sent before.
func (q *queue) stop() { q.entries = q.entries[:q.sent] }

// answered takes the reply for an entry off the window.
func (q *queue) answered(e Entry) {
	_, size := q.command(e)
	q.open--
	q.octets -= size
}
