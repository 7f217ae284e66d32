package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxAge bounds every age in the file; a century of nanoseconds still fits.
const maxAge = 36500 * day

// Keep says what stays on POP3. The zero value keeps everything for ever.
type Keep struct {
	// Delete allows the deletion of what is delivered and verified.
	Delete bool
	// For is how long a message stays after its delivery.
	For time.Duration
}

// Due reports whether a message that was delivered then may go now. A delivery
// without a date, or in the future, is never due: a clock is wrong somewhere. Nor is
// the passing of time believed at the first sight of it: the last run must have
// found the message due as well, so that a clock that is ahead once takes nothing.
func (k Keep) Due(delivered, lastRun, now time.Time) bool {
	return k.Over(delivered, now) && (k.For == 0 || k.Over(delivered, lastRun))
}

// Over reports whether a message's time is over by one reading of the clock.
func (k Keep) Over(delivered, now time.Time) bool {
	return k.Delete && !delivered.IsZero() && !now.Before(delivered) &&
		now.Sub(delivered) >= k.For
}

// String gives the form that accounts.yaml uses.
func (k Keep) String() string {
	switch {
	case !k.Delete:
		return "forever"
	case k.For == 0:
		return "delivered"
	}
	return formatDays(k.For)
}

func parseKeep(s string) (Keep, bool) {
	switch s {
	case "forever":
		return Keep{}, true
	case "delivered":
		return Keep{Delete: true}, true
	}
	age, ok := parseDays(s)
	return Keep{Delete: true, For: age}, ok && age > 0
}

// Seen says which messages arrive already read. The zero value means none.
type Seen struct {
	// Always means every message.
	Always bool
	// OlderThan means those whose INTERNALDATE is older; 0 means none.
	OlderThan time.Duration
}

func (s Seen) applies(date, now time.Time) bool {
	return s.Always || s.OlderThan > 0 && !date.IsZero() && now.Sub(date) > s.OlderThan
}

// String gives the form that accounts.yaml uses.
func (s Seen) String() string {
	switch {
	case s.Always:
		return "always"
	case s.OlderThan > 0:
		return "{older_than: " + formatDays(s.OlderThan) + "}"
	}
	return "never"
}

// parseDays reads a whole number of days such as "30d".
func parseDays(s string) (time.Duration, bool) {
	digits, ok := strings.CutSuffix(s, "d")
	if !ok || len(digits) > 5 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	age := time.Duration(n) * day
	return age, err == nil && age <= maxAge
}

// ParseAge reads days, or a duration as Go writes it ("90s", "1h30m").
func ParseAge(s string) (time.Duration, bool) {
	if age, ok := parseDays(s); ok {
		return age, true
	}
	age, err := time.ParseDuration(s)
	return age, err == nil && age >= 0 && age <= maxAge
}

func formatDays(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
