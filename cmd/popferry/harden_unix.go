//go:build unix

package main

import "golang.org/x/sys/unix"

// harden keeps secrets and mail from others: no core dump, and files that only
// their owner can read. Where the system refuses, the program is no worse than
// others.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Umask(0o077)
}
