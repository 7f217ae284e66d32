// Package secret holds passwords so that they can't be printed by accident.
//
// A [Value] hides itself from fmt, encoding/json, yaml and log/slog; only
// [Value.Reveal] gives it away, so a search for that word finds every place
// where a password leaves the program.
package secret

import (
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

// Hide takes the password out of a text from outside, in the forms in which logins
// send it: as it is, in an IMAP quoted string (RFC 9051 §4.3), and in base64, alone or
// with the user name as SASL PLAIN has it (RFC 4616 §2). Servers echo what they do
// not like.
func (v Value) Hide(text, username string) string {
	password := v.Reveal()
	if password == "" {
		return text
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password)
	return strings.NewReplacer(encode("\x00"+username+"\x00"+password), mask,
		encode(password), mask, quoted, mask, password, mask).Replace(text)
}

// String hides the password.
func (Value) String() string { return mask }

// Format hides the password from every verb of fmt.
func (Value) Format(f fmt.State, _ rune) { fmt.Fprint(f, mask) }

// MarshalText hides the password from JSON, YAML and others.
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue hides the password from log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(mask) }
