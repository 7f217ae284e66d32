package main

import "runtime/debug"

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
