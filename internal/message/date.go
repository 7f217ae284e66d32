package message

import (
	"bytes"
	"strings"
	"time"
)

// ahead is how far in the future a date may be and still be believed.
const ahead = 24 * time.Hour

// usable reports whether a message can be stored under a date.
func usable(t, now time.Time) bool {
	return t.Unix() >= 0 && !t.After(now.Add(ahead))
}

// receivedDate reads the date at the end of a Received field (RFC 5321 §4.4).
func receivedDate(value string) (time.Time, bool) {
	last := strings.LastIndexByte(value, ';')
	if last < 0 {
		return time.Time{}, false
	}
	if t, ok := parseDate(value[dateStart(value):]); ok {
		return t, true
	}
	return parseDate(value[last+1:]) // brackets or quotes do not match
}

// dateStart is where the date begins: behind the last semicolon that is in no comment and
// no quoted string (RFC 5322 §3.2.2, §3.2.4). Without one it is the end.
func dateStart(value string) int {
	start, depth, quoted := len(value), 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && (depth > 0 || quoted):
			i++ // a quoted pair (RFC 5322 §3.2.1)
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ';' && depth == 0:
			start = i + 1
		}
	}
	return start
}

// maxDate bounds the text that is searched for a date, in octets.
const maxDate = 1 << 10

// parseDate reads a date as RFC 5322 §3.3 and §4.3 write it, in UTC, and what is
// common besides: ctime order, hyphens in the date, zone names, AM and PM. Go's net/mail
// is not used because it reads zone names by the time zone of the machine it runs
// on, and then dates would differ from one machine to another.
func parseDate(value string) (time.Time, bool) {
	if len(value) > maxDate {
		return time.Time{}, false
	}
	d := dateParts{day: -1, month: -1, year: -1, hour: -1}
	for word := range strings.FieldsSeq(spaceOut(value)) {
		if !d.word(word) {
			return time.Time{}, false
		}
	}
	return d.time()
}

// spaceOut puts blanks where a date's parts end, and drops its comments, and the blanks
// beside a colon (RFC 5322 §4.3).
func spaceOut(value string) string {
	out := make([]byte, 0, len(value)+8)
	depth, clock := 0, false // in comments so deep; amid a word with a colon
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == ':':
			out, clock = append(bytes.TrimRight(out, " "), c), true
		case (c == ' ' || c == '\t') && clock && out[len(out)-1] == ':':
		case c == ',' || c == ' ' || c == '\t':
			out, clock = append(out, ' '), false
		case (c == '-' || c == '+') && (clock || endsInUTC(out)): // a zone without a blank before it
			out, clock = append(out, ' ', c), false
		case c == '-' && len(out) > 0 && out[len(out)-1] != ' ':
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// endsInUTC reports what ends in a name that a zone may follow, as in GMT+0100.
func endsInUTC(out []byte) bool {
	name := strings.ToUpper(string(out[max(0, len(out)-len("UTC")):]))
	return name == "UTC" || name == "GMT"
}

// dateParts are the parts of a date as they come; -1 means not yet.
type dateParts struct {
	day, month, year     int
	hour, minute, second int
	offset               int  // seconds east of UTC
	zoned                bool // by a number, which counts more than a name
}

// word takes the next part and reports whether it could be one.
func (d *dateParts) word(w string) bool {
	switch c := w[0]; {
	case c == '+' || c == '-':
		return d.zone(w)
	case strings.IndexByte(w, ':') >= 0:
		return d.hour < 0 && d.clock(w)
	case '0' <= c && c <= '9':
		return d.number(w)
	case d.month < 0:
		return d.name(w)
	case strings.EqualFold(w, "AM") || strings.EqualFold(w, "PM"):
		d.half(w)
	case d.hour >= 0 && !d.zoned && d.offset == 0:
		d.offset = zoneNames(w)
	}
	return true
}

// half takes AM or PM. Some programs write PM behind hours that count to 24.
func (d *dateParts) half(w string) {
	if d.hour < 0 || d.hour > 12 {
		return
	}
	if d.hour %= 12; strings.EqualFold(w, "PM") {
		d.hour += 12
	}
}

// number takes the day or the year, which come in this order.
func (d *dateParts) number(w string) bool {
	n, ok := digits(w, 1, 4)
	switch {
	case !ok:
		return false
	case d.day < 0:
		d.day = n
		return len(w) <= 2
	case d.year < 0 && d.month >= 0:
		d.year = fullYear(n, len(w))
		return len(w) >= 2
	case d.year >= 0 && d.hour >= 0 && len(w) == len("0100") && w <= "1400": // a zone that lost its plus
		return d.zone("+" + w)
	}
	return false
}

// fullYear completes a year of two or three digits (RFC 5322 §4.3).
func fullYear(n, digits int) int {
	switch {
	case digits == 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

const (
	months = "janfebmaraprmayjunjulaugsepoctnovdec"
	days   = "montuewedthufrisatsun"
)

// name takes the name of the month, and passes over that of the day.
func (d *dateParts) name(w string) bool {
	if i := nameIndex(months, w); i >= 0 {
		d.month = i + 1
		return true
	}
	return nameIndex(days, w) >= 0
}

// nameIndex finds a name by its first three letters in a list of such.
func nameIndex(list, w string) int {
	if len(w) < 3 {
		return -1
	}
	for i := 0; i < len(list); i += 3 {
		if strings.EqualFold(list[i:i+3], w[:3]) {
			return i / 3
		}
	}
	return -1
}

// clock takes hh:mm or hh:mm:ss.
func (d *dateParts) clock(w string) bool {
	parts := strings.Split(w, ":")
	if len(parts) > 3 {
		return false
	}
	var n [3]int
	for i, part := range parts {
		var ok bool
		if n[i], ok = digits(part, 1, 2); !ok {
			return false
		}
	}
	d.hour, d.minute, d.second = n[0], n[1], n[2]
	return d.hour < 24 && d.minute < 60 && d.second <= 60 // 60: a leap second
}

// zone takes +hhmm or -hhmm, with or without a colon, and what lacks a first zero or the minutes.
func (d *dateParts) zone(w string) bool {
	number := strings.Replace(w[1:], ":", "", 1)
	n, ok := digits(number, 1, 4)
	if len(number) <= len("hh") {
		n *= 100
	}
	if !ok || d.zoned || n/100 > 23 || n%100 > 59 {
		return false
	}
	d.offset, d.zoned = (n/100*60+n%100)*60, true
	if w[0] == '-' {
		d.offset = -d.offset
	}
	return true
}

// zoneNames gives the offset of a zone by its name. All but those of North
// America count as UTC (RFC 5322 §4.3).
func zoneNames(w string) int {
	const hour = 3600
	switch strings.ToUpper(w) {
	case "EDT":
		return -4 * hour
	case "EST", "CDT":
		return -5 * hour
	case "CST", "MDT":
		return -6 * hour
	case "MST", "PDT":
		return -7 * hour
	case "PST":
		return -8 * hour
	}
	return 0
}

// time puts the parts together, if they are all there and such a day exists.
func (d *dateParts) time() (time.Time, bool) {
	if d.day < 1 || d.month < 0 || d.year < 0 || d.hour < 0 {
		return time.Time{}, false
	}
	day := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC)
	seconds := d.hour*3600 + d.minute*60 + d.second - d.offset
	return day.Add(time.Duration(seconds) * time.Second), day.Day() == d.day
}

// digits reads a number of so many digits.
func digits(w string, least, most int) (n int, ok bool) {
	if len(w) < least || len(w) > most {
		return 0, false
	}
	for i := range len(w) {
		if w[i] < '0' || w[i] > '9' {
			return 0, false
		}
		n = n*10 + int(w[i]-'0')
	}
	return n, true
}
