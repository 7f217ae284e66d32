//go:build !unix

package main

// harden has nothing to do here: files take their folder's permissions.
func harden() {}
