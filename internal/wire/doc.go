// Package wire is the ground that both protocols stand on: it dials, speaks
// TLS, and gives every wait a limit.
//
// An [Endpoint] says where and how. [Endpoint.Connect] dials (all addresses of the
// name, RFC 8305; an error tells what came of each) and, for implicit TLS (RFC 8314
// §3), shakes hands; the [Conn] it returns owns the only read buffer of the
// connection, so that the protocol libraries and our own streaming code can take
// turns on it without losing a byte.
//
// A caller brackets each command with [Conn.Begin]: cancelling its context then
// ends the wait. Within it a deadline measures progress: each read and write may
// wait [Limits.Idle]; what trickles slower than [Limits.MinRate] for longer than
// [Limits.Window] ends as well, and so does a command that has us wait longer than
// [Limits.Command] for little. After any error the connection is broken for good
// ([Conn.Broken]); nothing is ever retried on it.
package wire
