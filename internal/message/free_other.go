//go:build !linux && !darwin && !freebsd

package message

// freeIn is not known here.
func freeIn(string) (octets int64, known bool) { return 0, false }
