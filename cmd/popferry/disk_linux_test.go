package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// limitFiles has a process find the disk full as soon as it writes a file that is larger.
func limitFiles(t *testing.T, cmd *exec.Cmd, octets uint64) {
	t.Helper()
	limit := unix.Rlimit{Cur: octets, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// TestBridgeAfterAFullDisk goes on by itself once there is space, and tells that there was none.
func TestBridgeAfterAFullDisk(t *testing.T) {
	s := newStation(t, "alice", "bob")
	s.deliver("alice", ordinary(3, 1)...)
	bridge := s.bridge()
	s.until("the first mail arrives", s.arrived("alice"))
	limitFiles(t, bridge, 50_000)
	s.deliver("alice", ordinary(5, 2)...)
	s.until("the disk is full", s.logged("result=state"))
	s.deliver("bob", ordinary(2, 3)...)
	limitFiles(t, bridge, unix.RLIM_INFINITY)
	send(t, bridge, syscall.SIGHUP)
	s.until("alice's mail arrives", s.arrived("alice"))
	s.until("bob's mail arrives", s.arrived("bob"))
	s.ends(bridge)
	if err := s.command("run").Run(); err != nil {
		t.Fatalf("%v\n%s", err, s.log())
	}
	if n := s.missing("alice") + s.missing("bob"); n != 0 {
		t.Errorf("%d mails are lost", n)
	}
}

// TestBridgeEndsAfterAFullDisk with 0, whether or not there is space again; and if there is,
// the history has what happened meanwhile.
func TestBridgeEndsAfterAFullDisk(t *testing.T) {
	for name, limit := range map[string]uint64{"space again": unix.RLIM_INFINITY, "still full": 50_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, "alice")
			s.deliver("alice", ordinary(3, 1)...)
			bridge := s.bridge()
			s.until("the first mail arrives", s.logged("delivered=3"))
			limitFiles(t, bridge, 50_000)
			s.deliver("alice", ordinary(5, 2)...)
			s.until("the disk is full", s.logged("result=state"))
			limitFiles(t, bridge, limit)
			s.ends(bridge)
			full := limit != unix.RLIM_INFINITY
			command := s.command("report")
			command.Stdout = nil
			report, err := command.Output()
			if written := strings.Contains(string(report), "state"); err != nil || written == full {
				t.Errorf("%v\n%s\n%s", err, report, s.log())
			}
		})
	}
}

// TestBridgeWhoseStateVanishes delivers nothing that no journal would know of.
func TestBridgeWhoseStateVanishes(t *testing.T) {
	s := newStation(t, "alice")
	s.deliver("alice", ordinary(3, 1)...)
	s.bridge()
	s.until("the first mail arrives", s.logged("delivered=3"))
	state := filepath.Join(s.dir, "state")
	if err := os.Rename(state, state+"-away"); err != nil {
		t.Fatal(err)
	}
	s.deliver("alice", ordinary(5, 2)...)
	s.until("it fails", s.logged("was removed or replaced while popferry was using it"))
	if n := s.missing("alice"); n != 5 {
		t.Errorf("%d of 5 mails were not delivered\n%s", n, s.log())
	}
	if err := s.command("run").Run(); err != nil {
		t.Fatalf("%v\n%s", err, s.log())
	}
	if n := s.missing("alice"); n != 0 {
		t.Errorf("%d mails are lost", n)
	}
}
