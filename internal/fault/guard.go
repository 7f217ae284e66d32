package fault

import "runtime/debug"

// Guard does work and makes a panic in it an error with [Internal]: one account never
// stops the others. Every goroutine that works for one has to run under it.
func Guard(work func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = New(Internal, "internal error: %v", v).WithHint("please report this:\n%s", debug.Stack())
		}
	}()
	return work()
}
