package imapdst

import (
	"slices"
	"strconv"
	"strings"
)

// Capabilities is what a server said it can do after the login (RFC 3501 §7.2.1).
type Capabilities struct {
	// MultiAppend: several messages in one APPEND (RFC 3502).
	MultiAppend bool
	// LiteralPlus: literals that do not wait (RFC 7888 §4).
	LiteralPlus bool
	// LiteralMinus: the same up to 4,096 octets (RFC 7888 §5).
	LiteralMinus bool
	// UIDPlus: APPENDUID and UID EXPUNGE (RFC 4315).
	UIDPlus bool
	// Namespace: NAMESPACE (RFC 2342).
	Namespace bool
	// SpecialUse: folders marked as \Sent, \Junk and so on (RFC 6154).
	SpecialUse bool
	// Quota: the storage is limited (RFC 9208).
	Quota bool
	// Gmail: X-GM-EXT-1, and all that comes with it.
	Gmail bool
	// AppendLimit is the largest message in octets (RFC 7889 §2); 0: not stated.
	AppendLimit int64
	// All holds every capability in upper case, in the server's order.
	All []string
}

const (
	// maxCaps bounds how many capabilities are kept.
	maxCaps = 500
	// literalMinusMax is the largest literal of LITERAL- (RFC 7888 §5).
	literalMinusMax = 4096
)

// newCapabilities reads the words behind CAPABILITY.
func newCapabilities(words string) Capabilities {
	all := strings.Fields(strings.ToUpper(words))
	c := Capabilities{All: all[:min(len(all), maxCaps)]}
	c.MultiAppend = c.has("MULTIAPPEND")
	c.LiteralPlus = c.has("LITERAL+")
	// IMAP4rev2 includes LITERAL-, UIDPLUS, NAMESPACE and SPECIAL-USE (RFC 9051
	// appendix E), but only after ENABLE, which we do not send.
	c.LiteralMinus = c.has("LITERAL-")
	c.UIDPlus = c.has("UIDPLUS")
	c.Namespace = c.has("NAMESPACE")
	c.SpecialUse = c.has("SPECIAL-USE")
	c.Quota = c.has("QUOTA")
	c.Gmail = c.has("X-GM-EXT-1")
	c.AppendLimit = int64(c.number("APPENDLIMIT="))
	return c
}

func (c Capabilities) has(name string) bool { return slices.Contains(c.All, name) }

// number returns the value of a capability such as "APPENDLIMIT=1000", or 0.
func (c Capabilities) number(prefix string) uint64 {
	for _, word := range c.All {
		if digits, ok := strings.CutPrefix(word, prefix); ok {
			n, err := strconv.ParseUint(digits, 10, 62)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// mechanisms are those of SASL (RFC 3501 §7.2.1).
func (c Capabilities) mechanisms() (names []string) {
	for _, word := range c.All {
		if name, ok := strings.CutPrefix(word, saslPrefix); ok {
			names = append(names, name)
		}
	}
	return names
}

// known tells whether the server listed anything at all.
func (c Capabilities) known() bool { return len(c.All) > 0 }
