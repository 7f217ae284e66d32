//go:build unix

package dovecot_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// TestGuard kills a process that has started a server, and expects the server to end and its
// directory to be removed.
func TestGuard(t *testing.T) {
	const child = "POPFERRY_TEST_GUARD"
	if os.Getenv(child) != "" {
		server := start(t, dovecot.Options{})
		fmt.Println("listens", server.IMAP, server.Dir)
		select {}
	}
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGuard$")
	cmd.Env = append(os.Environ(), child+"=1")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	var address, dir string
	for address == "" && lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == "listens" {
			address, dir = words[1], words[2]
		}
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("the child's server does not answer: %v", err)
	}
	conn.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, dialErr := net.Dial("tcp", address)
		if dialErr == nil {
			conn.Close()
		}
		_, statErr := os.Stat(dir)
		if dialErr != nil && os.IsNotExist(statErr) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind by a process that died: dial %v, stat %v", dialErr, statErr)
		}
	}
}
