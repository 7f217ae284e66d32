//go:build !linux

package main

import (
	"context"
	"os"
)

// What needs Linux is left out elsewhere.

func stop(*os.Process) error   { return errSkipped }
func resume(*os.Process) error { return errSkipped }

func readOnly(context.Context, *world) (ended, error)      { return ended{}, errSkipped }
func writable(*world) error                                { return nil }
func readOnlyMount(context.Context, *world) (ended, error) { return ended{}, errSkipped }
func unmount(*world) error                                 { return nil }
func elsewhere(context.Context, *world) (ended, error)     { return ended{}, errSkipped }
func mountTiny(string, int64) error                        { return errSkipped }
func unmountTiny(string) error                             { return nil }
