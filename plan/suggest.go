package plan

import (
	"slices"
	"strings"
)

// otherWords maps what people write, out of habit from other programs, to the
// key that popferry has for it.
var otherWords = map[string]string{
	"user": "username", "login": "username", "pass": "password", "passwd": "password",
	"server": "host", "hostname": "host", "ssl": "tls", "mailbox": "folder",
	"from": "source", "src": "source", "pop3": "source", "to": "destination",
	"dest": "destination", "dst": "destination", "target": "destination",
	"imap": "destination", "delete": "keep", "retention": "keep", "account": "accounts",
}

// suggestKey names the key that was probably meant, or "".
func suggestKey(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return near
	}
	if other := otherWords[strings.ToLower(word)]; slices.Contains(known, other) {
		return other
	}
	return ""
}

// nearest returns the candidate with the fewest typing mistakes, or "" when
// none is near enough to be a typo.
func nearest(word string, candidates []string) string {
	const longest = 64 // nobody mistypes more than this; it bounds the work
	if len(word) > longest {
		return ""
	}
	best, least := "", min(2, len(word)/3)+1
	for _, c := range candidates {
		if len(c) > 2*longest {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
