package plan

import (
	"bytes"
	"io"
	"mime"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/html/charset"
)

// MaxHeader bounds what routes see of a message's header, in octets. Fields behind it
// are not looked at.
const MaxHeader = 1 << 20

// maxValue bounds what is looked at of one header field, in octets.
const maxValue = 64 << 10

// Mail is what routes look at.
type Mail struct {
	// Header is the beginning of the message, of which nothing counts behind the
	// empty line that ends the header.
	Header []byte
	// Date is the INTERNALDATE that it is delivered with; zero where it has none.
	Date time.Time
	// Size is in octets.
	Size int64
}

// values calls use with the value of each field that has one of the names, until use
// returns true; it reports whether it did.
func (m Mail) values(names []string, use func([]byte) bool) bool {
	header := m.Header[:min(len(m.Header), MaxHeader)]
	for len(header) > 0 {
		line, rest := nextField(header)
		if len(line) == 0 {
			return false
		}
		header = rest
		name, value, ok := bytes.Cut(line, []byte{':'})
		if ok && isOneOf(name, names) && use(value[:min(len(value), maxValue)]) {
			return true
		}
	}
	return false
}

// nextField cuts off the first field with its continuation lines (RFC 5322 §2.2.3);
// it is empty at the end of the header.
func nextField(header []byte) (field, rest []byte) {
	for at := 0; ; {
		n := bytes.IndexByte(header[at:], '\n')
		if n < 0 {
			return header, nil
		}
		at += n + 1
		if len(bytes.Trim(header[:at], "\r\n")) == 0 {
			return nil, nil
		}
		if at == len(header) || header[at] != ' ' && header[at] != '\t' {
			return header[:at], header[at:]
		}
	}
}

func isOneOf(name []byte, names []string) bool {
	name = bytes.TrimRight(name, " \t") // RFC 5322 §4.5 allows it before the colon
	for _, n := range names {
		if strings.EqualFold(n, string(name)) {
			return true
		}
	}
	return false
}

// encodedWord is one of RFC 2047 §2, perhaps with a language (RFC 2231 §5) and, as some
// write them, with blanks.
var encodedWord = regexp.MustCompile(`=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?(.*?)\?=`)

// decoded is a value in lower case and folded, its encoded words read; each one that can't
// be read stays as it is.
func decoded(value []byte) string {
	// Not of the folded text: base64 tells upper case from lower.
	rest := strings.Join(strings.Fields(string(value)), " ")
	var text strings.Builder
	read := false // the word before was
	for {
		at := encodedWord.FindStringSubmatchIndex(rest)
		if at == nil {
			text.WriteString(rest)
			return fold(text.String())
		}
		word, ok := decodedWord(rest[at[2]:at[3]], rest[at[4]:at[5]], rest[at[6]:at[7]])
		if !ok {
			word = rest[at[0]:at[1]]
		}
		if between := rest[:at[0]]; !read || !ok || between != " " { // RFC 2047 §6.2
			text.WriteString(between)
		}
		text.WriteString(word)
		rest, read = rest[at[1]:], ok
	}
}

// decodedWord reads one encoded word. Its padding does not count.
func decodedWord(label, encoding, text string) (string, bool) {
	if strings.EqualFold(encoding, "b") {
		text = strings.TrimRight(text, "=")
		text += strings.Repeat("=", (4-len(text)%4)%4)
	}
	words := mime.WordDecoder{CharsetReader: func(label string, in io.Reader) (io.Reader, error) {
		return charset.NewReaderLabel(label, in)
	}}
	word := "=?" + label + "?" + encoding + "?" + text + "?="
	plain, err := words.DecodeHeader(word)
	return plain, err == nil && plain != word
}

// beside is a comment, or a quoted text (RFC 5322 §3.2.2, §3.2.4): a name, or with an @ behind it
// a part of an address.
var beside = regexp.MustCompile(`"(?:[^"\\]|\\.)*"@?|\([^()]*\)`)

// identifiers lists what stands in angle brackets in a value, and what looks like an address
// where there are none, in lower case. The name beside them is anybody's choice, and in spam
// often the reader's own address.
func identifiers(value []byte) []string {
	var list []string
	nameless := beside.ReplaceAllFunc(encodedWord.ReplaceAll(value, nil), func(text []byte) []byte {
		if bytes.HasSuffix(text, []byte{'@'}) {
			return text
		}
		return []byte(" ")
	})
	for mailbox := range strings.FieldsFuncSeq(fold(string(nameless)), anyOf(",;")) {
		bracketed := inBrackets(mailbox)
		list = append(list, bracketed...)
		for word := range strings.FieldsFuncSeq(mailbox, anyOf(" :<>()\"")) {
			if len(bracketed) == 0 && strings.Contains(word, "@") {
				list = append(list, word)
			}
		}
	}
	return list
}

func inBrackets(mailbox string) (list []string) {
	for {
		_, after, open := strings.Cut(mailbox, "<")
		inner, behind, closed := strings.Cut(after, ">")
		if !open || !closed {
			return list
		}
		list = append(list, strings.TrimSpace(inner))
		mailbox = behind
	}
}

func anyOf(separators string) func(rune) bool {
	return func(r rune) bool { return strings.ContainsRune(separators, r) }
}
