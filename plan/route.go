package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Route sends the mail that it matches to a folder of its own.
type Route struct {
	// Match says which mail; all of it must hold.
	Match Criteria
	// Folder is written like that of an account. {year} and {month} in it stand for
	// those of the message's INTERNALDATE, in UTC.
	Folder string
	// Line is where the route starts in the file, from 1.
	Line int
}

// Criteria are what a route asks of a message. A condition that is empty is none.
type Criteria struct {
	// Fields are asked of the header.
	Fields []FieldMatch
	// OlderThan is about the INTERNALDATE: mail without one is never old.
	OlderThan time.Duration
	// LargerThan is in octets.
	LargerThan int64
	// Own matches mail whose From is an address of the account itself.
	Own bool
}

// FieldMatch is a pattern for the value of a header field.
type FieldMatch struct {
	// Key is "from", or "header.X-Spam-Flag", as in accounts.yaml.
	Key string
	// Pattern is a glob, in lower case.
	Pattern string
}

// fieldsOf are the header fields that the keys of a match look at. The original
// recipient of mail that came through a list or a collecting mailbox is in one of the
// fields that servers add.
var fieldsOf = map[string][]string{
	"list-id": {"List-Id"},
	"from":    {"From"},
	"to":      {"To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To"},
	"subject": {"Subject"},
}

const headerKey = "header."

// names are the header fields that the pattern is for. Of those that hold addresses or
// the like, also what is in angle brackets is compared.
func (f FieldMatch) names() (names []string, inner bool) {
	if name, ok := strings.CutPrefix(f.Key, headerKey); ok {
		return []string{name}, false
	}
	return fieldsOf[f.Key], f.Key != "subject"
}

func (f FieldMatch) fits(m Mail) bool {
	names, inner := f.names()
	pattern := glob(f.Pattern)
	return m.values(names, func(value []byte) bool {
		return pattern.fits(decoded(value)) || inner && slices.ContainsFunc(identifiers(value), pattern.fits)
	})
}

// Route finds the folder of a message: that of the first route which matches, with its
// number from 1, or the account's own, with 0.
func (a Account) Route(m Mail, now time.Time) (folder string, number int) {
	for i, r := range a.Routes {
		if a.fits(r.Match, m, now) {
			return placed(r.Folder, m.Date, now), i + 1
		}
	}
	return a.Folder, 0
}

func (a Account) fits(match Criteria, m Mail, now time.Time) bool {
	old := !m.Date.IsZero() && now.Sub(m.Date) > match.OlderThan
	switch {
	case match.LargerThan > 0 && m.Size <= match.LargerThan:
	case match.OlderThan > 0 && !old:
	case match.Own && !m.values(fieldsOf["from"], a.isOwn):
	default:
		return !slices.ContainsFunc(match.Fields, func(f FieldMatch) bool { return !f.fits(m) })
	}
	return false
}

// isOwn reports whether a value of From names the account itself: one of its user names
// is the address, or is the local part of one at the server's domain.
func (a Account) isOwn(from []byte) bool {
	return slices.ContainsFunc(identifiers(from), func(address string) bool {
		return a.Source.isAddress(address) || a.Destination.isAddress(address)
	})
}

func (e Endpoint) isAddress(address string) bool {
	return e.names(e.Mailbox(), address) || e.names(e.Owner(), address)
}

// names reports whether a user of the endpoint has an address.
func (e Endpoint) names(user, address string) bool {
	if user = userName(user); strings.Contains(user, "@") {
		return address == user
	}
	local, domain, _ := strings.Cut(address, "@")
	return local == user && strings.Contains(domain, ".") && strings.HasSuffix("."+e.Host, "."+domain)
}

// placed fills in the date. A message without one gets that of its delivery, as it does
// in its folder.
func placed(folder string, date, now time.Time) string {
	if date.IsZero() {
		date = now
	}
	date = date.UTC()
	return strings.NewReplacer("{year}", fmt.Sprintf("%04d", date.Year()),
		"{month}", fmt.Sprintf("%02d", date.Month())).Replace(folder)
}

// String gives a form in which equal matches, and no others, are equal.
func (r Route) String() string {
	text := fmt.Sprintf("%q %v %d %v", r.Folder, r.Match.OlderThan, r.Match.LargerThan, r.Match.Own)
	for _, f := range r.Match.Fields {
		text += fmt.Sprintf(" %q %q", f.Key, f.Pattern)
	}
	return text
}

// covers reports whether all that another match asks for is more than this one does:
// no mail gets past this one to the other.
func (m Criteria) covers(o Criteria) bool {
	if m.OlderThan > o.OlderThan || m.LargerThan > o.LargerThan || m.Own && !o.Own {
		return false
	}
	return !slices.ContainsFunc(m.Fields, func(f FieldMatch) bool {
		return !slices.ContainsFunc(o.Fields, func(other FieldMatch) bool {
			return f.Key == other.Key && (f.Pattern == "*" || f.Pattern == other.Pattern)
		})
	})
}
