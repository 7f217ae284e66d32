//go:build !race

package sim_test

import (
	"bytes"
	"fmt"
	"strings"
)

// letter makes a message that no other is like.
func letter(n int) []byte {
	return fmt.Appendf(nil, "Received: from a by b; Tue, 03 Mar 2026 05:06:%02d +0000\r\n"+
		"Message-ID: <%d@letters.example.org>\r\nSubject: letter %d\r\n\r\nText of letter %d.\r\n", n%60, n, n, n)
}

// note makes one without a Message-ID.
func note(n int) []byte {
	return fmt.Appendf(nil, "From: bob@example.org\r\nSubject: note %d\r\n\r\nText of note %d.\r\n", n, n)
}

// again makes one with a Message-ID that others have, and even their size.
func again(n int) []byte {
	return fmt.Appendf(nil, "Message-ID: <again@letters.example.org>\r\nSubject: %05d\r\n\r\n.\r\n", n)
}

// lookalike makes one whose header others have, with a body of its own.
func lookalike(n, lines int) []byte {
	return fmt.Appendf(nil, "From: eve@example.org\r\nSubject: same\r\n\r\n%05d\r\n%s", n, strings.Repeat("x\r\n", lines))
}

// long makes one that does not fit into a packet.
func long(n int) []byte {
	return append(letter(n), bytes.Repeat([]byte("One of many lines, and not the last.\r\n"), 500)...)
}
