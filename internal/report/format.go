package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/popferry/popferry/internal/fault"
)

// Size writes octets for people: "512 B", "4.1 kB", "41 MB".
func Size(octets int64) string { return humanize.Bytes(uint64(max(octets, 0))) }

// Count writes a number with its noun: "1 message", "1,204 messages".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}

// All writes "the only message", "all 1,204 messages".
func All(n int, noun string) string {
	if n == 1 {
		return "the only " + noun
	}
	return "all " + Count(n, noun)
}

// were is the verb that goes with a number.
func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// Duration writes a time span for people: "0.4s", "12s", "3m05s", "2h14m".
func Duration(d time.Duration) string {
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour-time.Second/2:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Harmless writes text so that no terminal is moved by it. Unlike what
// [fault.Escape] is for, the text is long already for good reasons, such as
// a list of what drifted.
func Harmless(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := headLength(s, 100)
		b.WriteString(fault.Escape(s[:n]))
		s = s[n:]
	}
	return b.String()
}

// headLength is the length in octets of the first n characters of s.
func headLength(s string, n int) int {
	length := 0
	for ; n > 0 && length < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[length:])
		length += size
	}
	return length
}

// number is a cell that counts something.
func number(n int) Cell {
	return Cell{Text: humanize.Comma(int64(n)), Value: n, None: n == 0}
}

func octets(n int64) Cell { return Cell{Text: Size(n), Value: n, None: n == 0} }

func span(s float64) Cell { return Cell{Text: Duration(seconds(s)), Value: s, None: s == 0} }

func text(s string) Cell { return Cell{Text: s, Value: s, None: s == ""} }

// ending is a cell that tells how something ended.
func ending(code fault.Code) Cell { return Cell{Text: code.String(), Value: code.String(), Code: code} }
