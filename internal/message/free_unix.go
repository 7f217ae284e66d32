//go:build linux || darwin || freebsd

package message

import (
	"math"
	"syscall"
)

// freeIn says how many octets this user may still write to the disk of a folder.
func freeIn(dir string) (octets int64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	free, size := uint64(max(s.Bavail, 0)), uint64(s.Bsize)
	if size > 0 && free > math.MaxInt64/size {
		return math.MaxInt64, true
	}
	return int64(free * size), true
}
