//go:build unix

package post

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCommandThatHangs is ended with all that it started: they hold a pipe open, whose end
// shows that none is left.
func TestCommandThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- command([]string{"sh", "-c", "exec >" + path + "; echo here; sleep 60; echo never"})(ctx, item{})
	}()
	pipe, err := os.Open(path) // once it is opened to write
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := io.ReadFull(pipe, make([]byte, len("here\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended well")
	}
	if err := pipe.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if left, err := io.ReadAll(pipe); err != nil || len(left) > 0 {
		t.Errorf("something is left, and says %q: %v", left, err)
	}
}
