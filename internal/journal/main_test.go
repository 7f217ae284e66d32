//go:build unix

package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// helperVariable names what this program is to do instead of testing: some
// promises take a process that can be killed, limited or made somebody else.
const helperVariable = "JOURNAL_TEST_HELPER"

func TestMain(m *testing.M) {
	name := os.Getenv(helperVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := helpers()[name](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func helpers() map[string]func(args []string) error {
	return map[string]func([]string) error{
		"hold": helpHold, "write": helpWrite, "open": helpOpen, "mask": helpMask,
		"read": helpRead, "fill": helpFill, "lock": helpLock, "cramped": helpCramped,
	}
}

// helper makes the command that runs this program as a helper.
func helper(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	// A program under the race detector waits a second before it ends, else.
	cmd.Env = append(os.Environ(), helperVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// help runs a helper to its end and returns what it printed.
func help(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, talk bytes.Buffer
	cmd := helper(t, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &talk)
	}
	return out.String()
}

var errWrong = errors.New("wrong")
