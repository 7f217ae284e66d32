package journal_test

import (
	"path/filepath"
	"testing"

	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/journal/journaltest"
)

func TestConformance(t *testing.T) {
	root := t.TempDir()
	journaltest.Run(t, func(t *testing.T) journal.Journal {
		return open(t, filepath.Join(root, filepath.FromSlash(t.Name())))
	})
}
