// Package secret holds passwords so that they can't be printed by accident.
//
// A [Value] hides itself from fmt, encoding/json, yaml and log/slog; only
// [Value.Reveal] and [Value.RevealIn] give it away, so a search for the first word
// finds every place where a password leaves the program.
package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

const mask = "***"

// Value is a password or a token. The zero value is the empty password. It
// holds a pointer because fmt prints the unexported fields of a struct without
// asking the field's type: it then finds an address.
type Value struct{ text *string }

// New wraps a password.
func New(text string) Value { return Value{&text} }

// Reveal returns the password itself, for a login command and nothing else.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Empty reports whether there is no password at all.
func (v Value) Empty() bool { return v.Reveal() == "" }

// Fits reports what a test says of the password, and nothing else about it.
func (v Value) Fits(test func(string) bool) bool { return test(v.Reveal()) }

// markKey makes marks worth nothing outside of this process.
var markKey = rand.Text()

// Mark tells equal passwords from others, and nothing else about them.
func (v Value) Mark() [sha256.Size]byte {
	mac := hmac.New(sha256.New, []byte(markKey))
	mac.Write([]byte(v.Reveal()))
	return [sha256.Size]byte(mac.Sum(nil))
}

// Hide takes the password out of a text from outside, in the forms in which logins
// send it: as it is, in an IMAP quoted string (RFC 9051 §4.3), and in base64, alone
// or inside a response of SASL (RFC 4616 §2, RFC 7628 §3.1). Servers echo what they
// do not like.
func (v Value) Hide(text, username string) string {
	password := v.Reveal()
	if password == "" {
		return text
	}
	for before := range 3 {
		text = hideAround(text, core(password, before))
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password)
	return strings.NewReplacer(encode("\x00"+username+"\x00"+password), mask,
		encode(password), mask, quoted, mask, password, mask).Replace(text)
}

// RevealIn puts the password back where [Value.Hide] took it out, to compare the text with
// known words and for nothing else: a password may be one of those words.
func (v Value) RevealIn(hidden string) string {
	if v.Empty() {
		return hidden
	}
	return strings.ReplaceAll(hidden, mask, v.Reveal())
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// minCore is how much of a base64 text has to be known to call it the password's.
const minCore = 4

// core is the part of a base64 text that only the password decides, where so many
// other octets stand before it, counted in threes.
func core(password string, before int) string {
	// Six bits are a character: those at both ends are shared with what is there.
	first := (before*8 + 5) / 6
	last := (before + len(password)) * 8 / 6
	return encode(strings.Repeat("\x00", before) + password)[first:max(first, last)]
}

// hideAround masks each base64 text that has the core inside.
func hideAround(text, core string) string {
	if len(core) < minCore {
		return text
	}
	for from := 0; ; {
		at := strings.Index(text[from:], core)
		if at < 0 {
			return text
		}
		start, end := from+at, from+at+len(core)
		start = len(strings.TrimRightFunc(text[:start], isBase64))
		end = len(text) - len(strings.TrimLeftFunc(text[end:], isBase64))
		text = text[:start] + mask + text[end:]
		from = start + len(mask)
	}
}

func isBase64(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' ||
		r == '+' || r == '/' || r == '='
}

// String hides the password.
func (Value) String() string { return mask }

// Format hides the password from every verb of fmt.
func (Value) Format(f fmt.State, _ rune) { fmt.Fprint(f, mask) }

// MarshalText hides the password from JSON, YAML and others.
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue hides the password from log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(mask) }
