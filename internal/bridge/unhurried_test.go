package bridge_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
)

// TestUnhurried: who writes never waits for who reads, and how much was lost is said once
// somebody reads again.
func TestUnhurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := io.Pipe()
		u := bridge.NewUnhurried(to)
		u.Tell(func(lost int) { fmt.Fprintf(u, "%d lost\n", lost) })
		for n := range 5000 {
			fmt.Fprintf(u, "line %d\n", n)
		}
		var got bytes.Buffer
		var read sync.WaitGroup
		read.Go(func() { io.Copy(&got, from) })
		synctest.Wait()
		fmt.Fprintf(u, "the last one\n")
		u.Close(time.Minute)
		to.Close()
		read.Wait()
		lines := strings.Split(strings.TrimSpace(got.String()), "\n")
		kept := len(lines) - 2
		if kept < 1000 || lines[0] != "line 0" || lines[kept+1] != "the last one" ||
			!strings.Contains(got.String(), fmt.Sprintf("\n%d lost\n", 5000-kept)) {
			t.Errorf("%d lines, %q … %q", len(lines), lines[0], lines[max(0, len(lines)-3):])
		}
	})
}

// TestUnhurriedEnds: the end is not waited for without limit.
func TestUnhurriedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := io.Pipe()
		u := bridge.NewUnhurried(to)
		fmt.Fprintf(u, "a line\n")
		began := time.Now()
		u.Close(time.Minute)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("ended after %v", took)
		}
		fmt.Fprintf(u, "nobody hears it\n")
		from.Close()
	})
}
