package imapdst

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modifiedBase64 is that of mailbox names: "," for "/", no padding
// (RFC 3501 §5.1.3).
var modifiedBase64 = base64.NewEncoding(
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

func printable(b byte) bool { return ' ' <= b && b <= '~' }

// encodeName writes a mailbox name in modified UTF-7 (RFC 3501 §5.1.3).
func encodeName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		if printable(name[i]) {
			b.WriteByte(name[i])
			if name[i] == '&' {
				b.WriteByte('-')
			}
			i++
			continue
		}
		start := i
		for i < len(name) && !printable(name[i]) {
			i++
		}
		units := utf16.Encode([]rune(name[start:i]))
		raw := make([]byte, 0, 2*len(units))
		for _, unit := range units {
			raw = binary.BigEndian.AppendUint16(raw, unit)
		}
		b.WriteString("&" + modifiedBase64.EncodeToString(raw) + "-")
	}
	return b.String()
}

// decodeName reads a mailbox name in modified UTF-7; ok is false when it is not
// one. UTF-8, which some servers send as it is, passes.
func decodeName(raw string) (name string, ok bool) {
	if !utf8.ValidString(raw) {
		return "", false
	}
	var b strings.Builder
	for raw != "" {
		plain, shifted, found := strings.Cut(raw, "&")
		for i := range len(plain) {
			if plain[i] < utf8.RuneSelf && !printable(plain[i]) {
				return "", false
			}
		}
		b.WriteString(plain)
		if !found {
			break
		}
		code, rest, found := strings.Cut(shifted, "-")
		text, valid := decodeShift(code)
		if !found || !valid {
			return "", false
		}
		b.WriteString(text)
		raw = rest
	}
	return b.String(), true
}

// decodeShift reads what stands between "&" and "-".
func decodeShift(code string) (string, bool) {
	if code == "" {
		return "&", true
	}
	raw, err := modifiedBase64.DecodeString(code)
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 2 {
		units = append(units, binary.BigEndian.Uint16(raw[i:]))
	}
	text := string(utf16.Decode(units))
	return text, !strings.ContainsAny(text, "\x00\r\n\ufffd")
}

// quote writes a quoted string (RFC 3501 §4.3); the caller made sure that it
// holds neither CR, LF nor NUL.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
