//go:build !unix

package main

import "os"

// notifyReload does nothing: this system has no signal for it.
func notifyReload(chan<- os.Signal) {}
