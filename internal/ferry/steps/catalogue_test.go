package steps_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// lists has how many rows each list of the fault catalogue has, by the letter of
// their ids.
var lists = map[string]int{"N": 11, "M": 18, "S": 19, "A": 28, "D": malformedRows}

// elsewhere has the rows that no table can have, and the reason.
var elsewhere = map[string]string{
	"N1": "resolving a name: internal/wire, TestN1NoSuchHost",
	"N2": "connecting: internal/wire, TestN2Refused",
	"N3": "connecting: internal/wire, TestN3Unanswered",
	"N7": "a drip of octets: internal/wire, TestSlowDripEnds; pop, TestN7StalledBody",
	"N8": "inside TLS: pop, TestN8CutInsideTLS",
}

// TestCatalogue holds the tables against the catalogue: each row of it is in a
// table, and runs, or is named here with the place of its test.
func TestCatalogue(t *testing.T) {
	runs := map[string]int{}
	for _, r := range slices.Concat(networkFaults(), popLies(t), popSemantics(), imapFaults(), malformedMail()) {
		for _, c := range ways {
			if r.only == nil || r.only(c) {
				runs[r.id]++
			}
		}
		if n, known := lists[r.id[:1]]; known && !slices.Contains(ids(r.id[:1], n), r.id) {
			t.Errorf("%s/%s: no such row", r.id, r.name)
		}
	}
	for letter, n := range lists {
		for _, id := range ids(letter, n) {
			if _, excused := elsewhere[id]; excused == (runs[id] > 0) {
				t.Errorf("%s: in %d tests of the tables; elsewhere: %v", id, runs[id], excused)
			}
		}
	}
	for id, reason := range elsewhere {
		if !strings.Contains(reason, "Test") {
			t.Errorf("%s: %q names no test", id, reason)
		}
	}
}

func ids(letter string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", letter, i+1)
	}
	return all
}
