package journal_test

import (
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/fault"
)

// TestReaderIsNotRenewed: it has nothing that could fail for ever.
func TestReaderIsNotRenewed(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir))
	if notes, err := openReader(t, dir).Renew(t.Context()); err != nil || notes != nil {
		t.Fatal(notes, err)
	}
	j := open(t, dir)
	shut(t, j)
	_, err := j.Renew(t.Context())
	wants(t, err, fault.Internal, "closed")
}


// TestDamageIsRenewed: pages that went bad under a journal are put aside as by the next
// Open, and that is said once.
func TestDamageIsRenewed(t *testing.T) {
	dir := filled(t)
	scribble(t, dir, 20*4096, 30*4096)
	j := open(t, dir) // after a clean end nothing is read
	l := ledgerOf(t, j, someScope)
	_, err := all(l)
	wants(t, err, fault.State, "aside")
	notes, err := j.Renew(t.Context())
	if err != nil || len(notes) != 1 || !j.Rebuilt() || !slices.Equal(j.Notes(), notes) {
		t.Fatal(notes, err)
	}
	wants(t, l.Put(t.Context(), series(delivered, 0, 10)), fault.State, "no more writes after")
	l = ledgerOf(t, j, someScope)
	same(t, len(mustAll(t, l)), 0)
	put(t, l, series(delivered, 0, 10)...)
	if notes, err := j.Renew(t.Context()); err != nil || notes != nil {
		t.Fatal(notes, err)
	}
}
