//go:build !race

package steps_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/fault"
)

// lists has how many rows each list of the fault catalogue has, by the letter of
// their ids.
var lists = map[string]int{"N": 11, "M": 18, "S": 19, "A": 28, "D": malformedRows}

// elsewhere has the rows that no table can have, and where their tests are: they
// need names, connections, octets one at a time, or TLS.
var elsewhere = map[string]struct{ folder, test string }{
	"N1": {"internal/wire", "TestN1NoSuchHost"},
	"N2": {"internal/wire", "TestN2Refused"},
	"N3": {"internal/wire", "TestN3Unanswered"},
	"N7": {"internal/wire", "TestSlowDripEnds"},
	"N8": {"pop", "TestN8CutInsideTLS"},
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
		if r.code != fault.OK && r.says == "" {
			t.Errorf("%s/%s: whoever gets the status %d may not be told why", r.id, r.name, r.code)
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
	for id, place := range elsewhere {
		if !hasTest(t, place.folder, place.test) {
			t.Errorf("%s: no %s in %s", id, place.test, place.folder)
		}
	}
}

// hasTest looks for a test in the source of a package.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

func ids(letter string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", letter, i+1)
	}
	return all
}
