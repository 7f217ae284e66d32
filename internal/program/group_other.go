//go:build !unix

package program

import "os/exec"

// InGroup does nothing: this system has no process groups.
func InGroup(*exec.Cmd) {}

// AtTerminal is of use for groups only.
func AtTerminal() bool { return false }
