package bridge_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
)

// TestLogIsBounded: an account that has no end of things to say gets a hundred lines a
// minute, and takes none from another one.
func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(bridge.Calm(slog.NewTextHandler(&out, nil)))
		for n := range 6 * 60 * 10 { // ten a second
			log.Info("note", "account", "alice", "text", fmt.Sprint(n))
			if n%600 == 0 {
				log.Info("note", "account", "bob", "text", fmt.Sprint(n))
			}
			time.Sleep(100 * time.Millisecond)
		}
		byMinute := map[string]int{}
		bob, lost := 0, 0
		for line := range strings.Lines(out.String()) {
			switch {
			case strings.Contains(line, "account=bob"):
				bob++
				continue
			case strings.Contains(line, "lines=501"):
				lost++
			}
			byMinute[line[:len("time=2000-01-01T00:00")]]++
		}
		for minute, lines := range byMinute {
			if lines > 100 || lines < 99 {
				t.Errorf("%s: %d lines", minute, lines)
			}
		}
		if len(byMinute) != 6 || bob != 6 || lost != 5 {
			t.Errorf("%d minutes, %d lines of the other account, %d times told what was lost", len(byMinute), bob, lost)
		}
	})
}

// TestLogRepeatsNothing: what was said is said again an hour later, with how often it was
// left out.
func TestLogRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(bridge.Calm(slog.NewTextHandler(&out, nil))).With("pid", 7)
		for range 2*12 + 1 {
			log.Info("note", "account", "alice", "text", "the clock of the server is wrong")
			log.Info("note", "account", "bob", "text", "the clock of the server is wrong")
			log.Info("started") // is of no account
			log.Error("the history can't be written", "error", "no space left on device")
			log.ErrorContext(bridge.Answer(t.Context()), "accounts.yaml is wrong")
			time.Sleep(5 * time.Minute)
		}
		text := out.String()
		if n := strings.Count(text, "account=alice"); n != 3 {
			t.Errorf("%d lines", n)
		}
		if strings.Count(text, "account=alice text=\"the clock of the server is wrong\" again=11\n") != 2 ||
			strings.Count(text, "account=bob") != 3 || strings.Count(text, "started") != 25 {
			t.Errorf("%s", text)
		}
		if strings.Count(text, "error=\"no space left on device\" again=11\n") != 2 || strings.Count(text, "no space left") != 3 ||
			strings.Count(text, "accounts.yaml is wrong") != 25 {
			t.Errorf("%s", text)
		}
	})
}

// TestLogOfARelapse: what fails again after a pass that was well is said again.
func TestLogOfARelapse(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(bridge.Calm(slog.NewTextHandler(&out, nil)))
	for n := range 3 {
		log.Warn(bridge.PassLine, "account", "alice", "error", "refused")
		log.Warn(bridge.PassLine, "account", "bob", "error", "refused")
		log.Info("note", "account", "bob", "text", n)
		log.Info(bridge.PassLine, "account", "alice", "result", "ok", "seconds", n)
	}
	if text := out.String(); strings.Count(text, "account=alice error=refused") != 3 || strings.Count(text, "account=bob error=refused") != 1 {
		t.Error(text)
	}
}

// TestLogOfAFailingAccount: passes that fail alike are said once an hour, however long they
// took. Others, and passes that succeed, are all there.
func TestLogOfAFailingAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(bridge.Calm(slog.NewTextHandler(&out, nil)))
		for n := range 2*12 + 1 {
			log.Warn("pass", "account", "alice", "seconds", n, "next", time.Now(), "error", "does not answer")
			log.Info("pass", "account", "bob", "delivered", 1, "seconds", n, "next", time.Now())
			if n == 7 {
				log.Warn("pass", "account", "alice", "seconds", n, "next", time.Now(), "error", "is busy")
			}
			time.Sleep(5 * time.Minute)
		}
		text := out.String()
		if strings.Count(text, "error=\"does not answer\" again=11\n") != 2 || strings.Count(text, "account=alice") != 4 ||
			strings.Count(text, "account=bob") != 25 {
			t.Errorf("%s", text)
		}
	})
}
