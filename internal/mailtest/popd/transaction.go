package popd

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// capa lists what the options leave on (RFC 2449 §5).
func (c *session) capa() {
	o := c.options
	if o.NoCAPA {
		c.fail("unknown command")
		return
	}
	c.ok("capabilities follow")
	for _, capability := range []struct {
		on   bool
		text string
	}{
		{!o.NoTOP, "TOP"},
		{!o.NoUIDL, "UIDL"},
		{true, "RESP-CODES"},
		{true, "AUTH-RESP-CODE"},
		{!o.NoPipelining, "PIPELINING"},
		{o.Mode == STLS && !c.secure, "STLS"},
		{o.Mode != STLS || c.secure, "USER"},
		{!o.NoSASL && (o.Mode != STLS || c.secure), "SASL " + strings.Join(o.mechanisms(), " ")},
		{o.UTF8, "UTF8 USER"},
		{o.ExpireAtOnce, "EXPIRE 0"},
		{o.LoginDelay > 0, "LOGIN-DELAY " + strconv.Itoa(int(o.LoginDelay/time.Second))},
	} {
		if capability.on {
			c.line("%s", capability.text)
		}
	}
	for _, text := range o.Capabilities {
		c.line("%s", text)
	}
	c.line("IMPLEMENTATION popd")
	c.line(".")
}

// transact answers the commands of the TRANSACTION state (RFC 1939 §5).
func (c *session) transact(verb, rest string, number int) {
	switch verb {
	case "STAT":
		c.stat()
	case "LIST":
		c.listing(rest, number, func(n int, m *stored) string {
			return strconv.Itoa(len(m.raw) + c.options.SizeOffset)
		})
	case "UIDL":
		if c.options.NoUIDL {
			c.fail("unknown command")
			return
		}
		c.listing(rest, number, c.uidl)
	case "RETR":
		c.retrieve(number, -1)
	case "TOP":
		c.top(rest, number)
	case "DELE":
		c.delete(number)
	case "NOOP":
		c.ok("still here")
	case "RSET":
		clear(c.marked)
		c.ok("nothing is deleted")
	default:
		c.fail("unknown command")
	}
}

func (c *session) stat() {
	count, size := 0, 0
	for _, m := range c.list {
		if !c.marked[m] {
			count++
			size += len(m.raw) + c.options.SizeOffset
		}
	}
	c.ok("%d %d", count, size)
}

func (c *session) uidl(n int, m *stored) string {
	if c.options.UIDL != nil {
		return c.options.UIDL(n, m.raw)
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return m.uidl
}

// listing answers LIST and UIDL, of all messages or of one (RFC 1939 §5, §7).
func (c *session) listing(rest string, number int, value func(int, *stored) string) {
	if rest != "" {
		if m := c.find(number); m != nil {
			c.ok("%d %s", number, value(number, m))
		}
		return
	}
	c.ok("listing follows")
	for i, m := range c.list {
		if !c.marked[m] {
			c.line("%d %s", i+1, value(i+1, m))
		}
	}
	c.line(".")
}

// find answers -ERR itself when there is no such message.
func (c *session) find(number int) *stored {
	if number < 1 || number > len(c.list) {
		c.fail("no such message")
		return nil
	}
	m := c.list[number-1]
	if c.marked[m] {
		c.fail("message %d is deleted", number)
		return nil
	}
	c.server.mu.Lock()
	gone := m.gone
	c.server.mu.Unlock()
	if gone {
		c.fail("message %d expunged", number)
		return nil
	}
	return m
}

func (c *session) top(rest string, number int) {
	_, lines, _ := strings.Cut(rest, " ")
	count, err := strconv.Atoi(lines)
	switch {
	case c.options.NoTOP:
		c.fail("unknown command")
	case err != nil || count < 0:
		c.fail("how many lines?")
	default:
		c.retrieve(number, count)
	}
}

// retrieve sends a message, or its header and some lines when lines >= 0.
func (c *session) retrieve(number, lines int) {
	if text, refused := c.options.Refuse[number]; refused {
		c.fail("%s", text)
		return
	}
	m := c.find(number)
	if m == nil {
		return
	}
	raw := m.raw
	if lines >= 0 {
		raw = top(raw, lines)
	} else {
		c.given[m] = true
	}
	c.ok("%d octets", len(raw)+c.options.SizeOffset)
	c.w.Write(stuff(raw, c.options))
	c.line(".")
}

func (c *session) delete(number int) {
	if m := c.find(number); m != nil {
		c.marked[m] = true
		c.ok("message %d deleted", number)
	}
}

// quit removes what is marked, but only after a login (RFC 1939 §4, §6).
func (c *session) quit() {
	if c.loggedIn && c.options.ExpireAtOnce {
		maps.Copy(c.marked, c.given)
	}
	if c.loggedIn && c.options.HideFetched {
		c.server.hide(c.given)
	}
	if c.loggedIn {
		c.server.commit(c.marked)
	}
	c.ok("bye")
	c.done = true
}
