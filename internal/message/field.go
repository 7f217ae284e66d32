package message

import (
	"bytes"
	"strings"
	"time"
)

// field is a header field that is looked up.
type field int

const (
	fieldOther field = iota
	fieldMessageID
	fieldReceived
	fieldDate
	fieldFrom
	fieldSubject
	fieldCount
)

// classify tells whether a field counts for the header digest, and whether it
// is looked up. What does not count is what servers add, drop or rewrite
// themselves: the list of Dovecot's migration plugin, that of mail movers that
// leave a mark, and Gmail's.
func classify(name []byte) (lineKind, field) {
	var buf [32]byte // longer than any name below
	lower := buf[:copy(buf[:], name)]
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	switch string(lower) {
	case "message-id":
		return kept, fieldMessageID
	case "received":
		return kept, fieldReceived
	case "date":
		return kept, fieldDate
	case "from":
		return kept, fieldFrom
	case "subject":
		return kept, fieldSubject
	case "content-length", "lines", "return-path", "status", "x-imap", "x-imapbase",
		"x-keywords", "x-message-flag", "x-offlineimap", "x-status", "x-tuid", "x-uid",
		"x-uidl", "x-yahoo-newman-property":
		return skipped, fieldOther
	}
	if bytes.HasPrefix(lower, []byte("x-gmail-")) {
		return skipped, fieldOther
	}
	return kept, fieldOther
}

// lookup keeps what was found in the fields that are looked up.
type lookup struct {
	now      time.Time
	id       string             // the first usable Message-ID
	received time.Time          // the topmost usable date of a Received field
	date     time.Time          // that of the Date field
	dated    bool               // it has one
	text     [fieldCount]string // the first of each other field that is not empty
}

// wants reports whether another field of a kind can still tell something.
func (l *lookup) wants(f field) bool {
	switch f {
	case fieldOther:
		return false
	case fieldMessageID:
		return l.id == ""
	case fieldReceived:
		return l.received.IsZero()
	}
	return l.text[f] == ""
}

// found takes the value of a field that was wanted.
func (l *lookup) found(f field, value []byte) {
	switch f {
	case fieldMessageID:
		l.id = messageID(collapse(value))
	case fieldReceived:
		if t, ok := receivedDate(parted(value)); ok && usable(t, l.now) {
			l.received = t
		}
	case fieldDate:
		l.date, l.dated = parseDate(parted(value))
		fallthrough
	default:
		l.text[f] = collapse(value)
	}
}

// parted is collapse for a date: what a CR stands between are two parts of it.
func parted(value []byte) string { return collapse(bytes.ReplaceAll(value, []byte{'\r'}, []byte{' '})) }

// internalDate chooses the date that a message is to be stored under.
func (l *lookup) internalDate() (t time.Time, from string) {
	if !l.received.IsZero() {
		return l.received, "received"
	}
	if l.dated && usable(l.date, l.now) {
		return l.date, "date"
	}
	return time.Time{}, ""
}

// maxMessageID bounds a Message-ID that servers can be asked for, in octets: a
// command line should not be much longer than 1,000 (RFC 2683 §3.2.1.5).
const maxMessageID = 900

// messageID finds the identifier in the collapsed value of a Message-ID field,
// puts brackets around it if it has none (RFC 5322 §3.6.4), and gives "" for one
// that can't be searched for. Comments before and after are dropped.
func messageID(value string) string {
	id := value[strings.IndexByte(value, '<')+1:]
	id = id[:closing(id)]
	if strings.Trim(id, " ") == "" || len(id)+len("<>") > maxMessageID {
		return ""
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] >= 0x7f {
			return ""
		}
	}
	return "<" + id + ">"
}

// closing finds the ">" that ends an identifier, passing over those in quotes
// unless the quotes are never closed; without any the rest is taken.
func closing(id string) int {
	quoted := false
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == '>' && !quoted:
			return i
		}
	}
	if i := strings.IndexByte(id, '>'); i >= 0 {
		return i
	}
	return len(id)
}

// collapse unfolds a value (RFC 5322 §2.2.3) and makes each run of white space
// one blank, with none at the ends. CRs are none: some servers drop those that end no line.
// It reuses the octets of v.
func collapse(v []byte) string {
	out := v[:0]
	for _, c := range v {
		if c == '\r' {
			continue
		}
		if isBlank(c) || c == '\n' {
			if len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return string(bytes.TrimRight(out, " "))
}
