// Package popd is a POP3 server inside the process, for tests and the demo. It
// keeps its maildrop in memory, obeys RFC 1939 where it is not told otherwise,
// and can be told to misbehave in most ways that real servers do.
//
// [New] makes a [Server] with a list of raw messages. [Server.Listen] serves a
// loopback port, [Server.Serve] any listener, [Server.ServeConn] one connection,
// and [Server.Dial] is a dial function that needs no network at all. Messages
// arrive with [Server.Deliver] and vanish with [Server.Expunge]; what a test
// wants to know afterwards is in [Server.Messages] and [Server.Counters].
//
// A session works on the messages that were there when it logged in, and what it
// deletes is gone only after its QUIT (RFC 1939 §6). One goroutine reads commands
// ahead of the one that answers, so pipelining works even over a net.Pipe.
package popd
