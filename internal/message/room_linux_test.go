package message_test

import (
	"path/filepath"
	"testing"

	"github.com/popferry/popferry/internal/message"
)

// TestRoomIn (X8): no more than there is, and an answer where nobody knows.
func TestRoomIn(t *testing.T) {
	if got := message.RoomIn("/proc"); got != 1 {
		t.Errorf("%d octets in a file system that takes no files", got)
	}
	if got := message.RoomIn(filepath.Join(t.TempDir(), "missing")); got != message.MaxRoom {
		t.Errorf("%d octets in a folder that is not there", got)
	}
	if got := message.RoomIn(t.TempDir()); got <= 1<<20 || got > message.MaxRoom {
		t.Errorf("%d octets in the folder for temporary files", got)
	}
}
