package plan

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxUIDL bounds what counts as a UIDL, in octets. RFC 1939 §7 allows 70; some
// servers send more.
const maxUIDL = 1024

// Listed is one message of a maildrop as LIST and UIDL show it.
type Listed struct {
	// Number is its number in this session only (RFC 1939 §3).
	Number int `json:"number"`
	// Size is what LIST says, in octets: a hint, no promise.
	Size int64 `json:"size"`
	// UIDL is its unique id, or empty when there is none; a plan leaves out one that
	// can't be used.
	UIDL string `json:"uidl,omitempty"`
	// Key names it in its source; see Keys. Empty: only its content can name it.
	Key string `json:"key,omitempty"`
}

// Keys returns the message key of each listed message: "u:" and its UIDL, and
// from the second message with the same UIDL on (RFC 1939 §7 lets identical
// copies share one) a blank, "#" and its ordinal. No UIDL holds a blank, so no two
// messages of a listing get one key. A message without a UIDL has the key "";
// see [ContentKey].
func Keys(listing []Listed) []string {
	keys := make([]string, len(listing))
	count := make(map[string]int, len(listing))
	for i, l := range listing {
		if !usable(l.UIDL) {
			continue
		}
		count[l.UIDL]++
		keys[i] = ordinalKey("u:"+l.UIDL, count[l.UIDL])
	}
	return keys
}

// ContentKey returns the key of a message without a UIDL: "c:" and its content
// digest in hex, with an ordinal from the second message of equal content on.
func ContentKey(digest string, ordinal int) string {
	return ordinalKey("c:"+digest, ordinal)
}

func ordinalKey(base string, ordinal int) string {
	if ordinal < 2 {
		return base
	}
	return fmt.Sprintf("%s #%d", base, ordinal)
}

// usable reports whether a UIDL can name a message: more than RFC 1939 §7 allows,
// but printable, without blanks, and the same again when a plan is read from its
// file.
func usable(uidl string) bool {
	return uidl != "" && len(uidl) <= maxUIDL && utf8.ValidString(uidl) &&
		!strings.ContainsFunc(uidl, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
}
