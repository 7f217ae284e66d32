//go:build !race

package steps_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// TestMalformed has the rows of the list of malformed mail: all of it arrives as
// it is, in one run, and is known again by the next ones.
func TestMalformed(t *testing.T) { table(t, malformedMail()) }

// malformedRows is how many rows that list has.
const malformedRows = 20

func malformedMail() []row {
	var rows []row
	for n := range malformedRows {
		id := fmt.Sprintf("D%d", n+1)
		r := row{id: id, name: "as it is", limit: 10 * time.Minute}
		for _, m := range corpus.Row(id) {
			r.mail = append(r.mail, servable(m.Raw))
		}
		if id == "D12" { // one of these is empty, which no server stores
			r.code, r.healthy, r.left = fault.Held, fault.Held, 1
			r.says = "it is empty"
			r.setup = func(w *voyage.World) { w.Undeliverable([]byte{}) }
		}
		rows = append(rows, r)
	}
	return rows
}
