package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popferry/popferry/internal/secret"
)

// TestKeyOfThePageIsKept, so that a bridge that is started anew knows its old cookies; where it
// can't be kept, the page works nevertheless.
func TestKeyOfThePageIsKept(t *testing.T) {
	state := t.TempDir()
	var log bytes.Buffer
	key := func(state string) secret.Value {
		k := &keeping{app: &app{state: state}, log: slog.New(slog.NewTextHandler(&log, nil))}
		return k.pageKey()
	}
	first := key(state)
	if key(state).Mark() != first.Mark() || len(first.Reveal()) < 32 || log.Len() > 0 {
		t.Errorf("another one after a restart: %s", &log)
	}
	if info, err := os.Stat(filepath.Join(state, cookiesFile)); err != nil || filepath.Separator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	nowhere := filepath.Join(state, "nowhere")
	if one, other := key(nowhere), key(nowhere); one.Empty() || one.Mark() == other.Mark() || !strings.Contains(log.String(), "will ask for the token") {
		t.Errorf("where it can't be kept: %s", &log)
	}
}
