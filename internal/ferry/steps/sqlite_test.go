//go:build !race

package steps_test

import (
	"slices"
	"testing"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/voyage"
)

// TestStepKillOnDisk plays some of the scenarios with the journal that people
// have, on disk, at fewer steps.
func TestStepKillOnDisk(t *testing.T) {
	chosen := []string{
		"five messages", "repeated UIDLs", "cut after the last octet, stored",
	}
	for _, s := range scenarios() {
		if !slices.Contains(chosen, s.name) {
			continue
		}
		s.sample = 2
		for _, c := range s.combinations() {
			t.Run(s.name+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				sweep(t, s, c, func(o *voyage.Options) {
					dir := t.TempDir()
					o.Journal = func() (journal.Journal, error) { return journal.Open(dir) }
				})
			})
		}
	}
}
