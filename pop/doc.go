// Package pop reads a POP3 maildrop (RFC 1939) as the source of a move.
//
// [Dial] connects, makes the connection safe, asks what the server can do
// (RFC 2449; see [Known] for when that can be left out) and logs in. On the [Maildrop] that it returns, in this order:
//
//	List      what is there: numbers, sizes, unique identifiers
//	Retrieve  bodies, many on their way at a time, each as a stream
//	Top       headers only, where the server has TOP
//	Delete    marks messages; only Quit makes the server remove them
//	Quit      ends the session, and is the only call that commits
//	Close     closes the socket and commits nothing
//
// A Maildrop is for one goroutine. Numbers are those of this session and mean
// nothing in the next one (RFC 1939 §4).
//
// # What is guaranteed
//
// The octets of a body are those that the server sent, with the doubled dots
// undone and nothing else touched: no line end is changed or added. A body ends
// in io.EOF only after its terminator, and, as far as something else was asked
// for, after the server was seen to go on with a reply: a server that forgets to
// double its dots ends a message early and is found out, see [ErrEndedEarly]. A
// message whose size is not the one that was announced is asked about first. And
// where several commands are on their way that reply names the message, so that a
// server which leaves out an answer or gives one twice is too, see [ErrOutOfStep].
//
// No wait, line, or listing is without a limit. Sizes and counts that a server
// announces are hints and never decide how much memory is taken.
//
// # Errors
//
// Each error is a *fault.Error. One that is handed to a callback concerns that
// message alone and the session goes on; one that is returned has ended the
// session, which then refuses to work: close it and dial again. Nothing is
// deleted by a session that ended so (RFC 1939 §6).
//
// # How it is built
//
// The go-pop3 library reads the greeting and carries the commands whose answer
// is one line; see library.go, the only file that knows it. Everything longer
// than a line is ours and reads from the same buffer, which works because the
// library is given one line at a time and never holds any octets back.
package pop
