package main

import (
	"math"
	"runtime/debug"
)

// Octets in flight are bounded by the engine; what the collector leaves lying
// around on top of them is bounded here. Half as much garbage as live data costs
// little, since messages rest in pooled buffers and files.
const (
	garbagePercent = 50
	memoryTarget   = 192 << 20
)

// tuneMemory trades a little time for memory, unless the user said what he wants.
func tuneMemory(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
}

// freeMemory lifts the bound for a verb that carries no mail: below what a list of many
// thousand accounts takes while it is read, the collector would be half of the work.
func freeMemory(getenv func(string) string) {
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(math.MaxInt64)
	}
}
