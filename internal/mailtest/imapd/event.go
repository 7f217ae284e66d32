package imapd

import "time"

// Stage is a moment in the course of a command.
type Stage int

const (
	// AtGreeting is before the server greets. There is no command yet.
	AtGreeting Stage = iota
	// AtCommand is when a command was read and nothing has been done about it. An APPEND is seen
	// when its first message is announced, before the server has asked for it or read it.
	AtCommand
	// AtLiteral is when all bytes of one message of an APPEND have arrived.
	AtLiteral
	// AtStore is when an APPEND is complete, with its final CRLF, and nothing is stored (except
	// with Options.StoreAtLiteral).
	AtStore
	// AtReply is when a command was carried out, just before the tagged reply.
	AtReply
)

// Event describes such a moment.
type Event struct {
	// Conn numbers connections from 1; User is who has logged in.
	Conn int
	User string
	// Stage is the moment, and N how many events of this Stage and Command the server has seen,
	// this one included.
	Stage Stage
	N     int
	// Command is the name in upper case, such as "APPEND" or "UID FETCH"; Tag is its tag and Line
	// its text without the tag, where each literal is a NUL.
	Command, Tag, Line string
	// Messages are those of an APPEND that have arrived. They must not be changed.
	Messages [][]byte
	// Text is the tagged reply that is about to be sent, without the tag (at AtReply only).
	Text string
}

// End is a way to end a connection.
type End int

const (
	// Open does not.
	Open End = iota
	// FIN closes it in good order, for TCP, but without the farewell of TLS.
	FIN
	// RST resets it, where it is a TCP connection.
	RST
)

// Action is what to do instead of going on as usual, which is its zero value. Where several
// fields are set they take effect in the order in which they stand here.
type Action struct {
	// Wait passes before anything else happens.
	Wait time.Duration
	// StoreAfter, at AtStore, puts off storing. If the action also ends the session (Bye, Cut or
	// Silent) the messages are stored behind the client's back, this much later, or at
	// [Server.Commit] if it is negative. Otherwise both storing and the reply wait as long.
	StoreAfter time.Duration
	// Raw is sent as it is.
	Raw string
	// Reply is sent as the tagged reply; the tag is put before it and CRLF behind it. The command
	// is not carried out, if it was not before.
	Reply string
	// Bye is the text of an untagged BYE that is sent before the connection is closed.
	Bye string
	// Cut ends the connection, after what was written before has been sent.
	Cut End
	// Silent never says anything again but leaves the connection open.
	Silent bool
}

// ends tells whether the session is over with this action.
func (a Action) ends() bool { return a.Bye != "" || a.Cut != Open || a.Silent }
