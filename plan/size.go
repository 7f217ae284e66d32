package plan

import (
	"fmt"
	"strconv"
)

// formatSize writes octets for people: "512 bytes", "4.1 kB", "41 MB".
func formatSize(n int64) string {
	const step = 1000
	if n < step {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	value, unit := float64(n)/step, 0
	for units := "kMGTPE"; value >= step-0.5 && unit < len(units)-1; unit++ {
		value /= step
	}
	digits := 0
	if value < 9.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %cB", digits, value, "kMGTPE"[unit])
}

// twoSizes formats two sizes that differ so that they look different.
func twoSizes(a, b int64) []any {
	x, y := formatSize(a), formatSize(b)
	if x == y {
		x, y = fmt.Sprintf("%d bytes", a), fmt.Sprintf("%d bytes", b)
	}
	return []any{x, y}
}

// messages counts messages in words.
func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return strconv.Itoa(n) + " messages"
}
