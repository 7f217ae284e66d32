//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// wide is more than anything here takes on the slowest machine.
const wide = 2 * time.Minute

// station is a Dovecot with accounts, and the configuration for them.
type station struct {
	t      *testing.T
	server *dovecot.Server
	dir    string
	sent   map[string]map[string]int // by user and canonical content
	more   string                    // of the bridge, in accounts.yaml
}

func newStation(t *testing.T, users ...string) *station {
	t.Helper()
	return stationOf(t, dovecot.Options{}, users...)
}

func stationOf(t *testing.T, o dovecot.Options, users ...string) *station {
	t.Helper()
	if _, ok := dovecot.Found(); !ok {
		t.Skip("dovecot is not installed")
	}
	server, err := dovecot.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &station{t: t, server: server, dir: t.TempDir(), sent: map[string]map[string]int{}}
	s.configure(server.Password, users...)
	return s
}

func home(user string) string { return user + "-at-home" }

// configure writes accounts.yaml.
func (s *station) configure(password string, users ...string) {
	s.t.Helper()
	side := func(address, user string) string {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			s.t.Fatal(err)
		}
		return fmt.Sprintf("{host: %s, port: %s, tls_ca: %s, username: %s, password: '%s'}", host, port,
			s.server.Files.CA, user, password)
	}
	text := "bridge: {interval: 10s" + s.more + "}\nsettle: 1s\naccounts:\n"
	for _, user := range users {
		text += fmt.Sprintf("  - {name: %s, source: %s, destination: %s}\n", user, side(s.server.POP3S, user),
			side(s.server.IMAPS, home(user)))
	}
	if err := os.WriteFile(filepath.Join(s.dir, "accounts.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rewrite changes accounts.yaml.
func (s *station) rewrite(before, after string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "accounts.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text = []byte(strings.ReplaceAll(string(text), before, after))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *station) deliver(user string, mails ...[]byte) {
	s.t.Helper()
	if s.sent[user] == nil {
		s.sent[user] = map[string]int{}
	}
	for _, raw := range mails {
		if err := s.server.Deliver(user, raw); err != nil {
			s.t.Fatal(err)
		}
		s.sent[user][string(corpus.Canonical(raw))]++
	}
}

// missing compares the server's files with what was sent: how many mails are not there, and
// whether one is there too often or was never sent.
func (s *station) missing(user string) (missing int) {
	s.t.Helper()
	files, err := s.server.Messages(home(user), "INBOX")
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range files {
		got[string(corpus.Canonical(f.Raw))]++
	}
	for content, n := range got {
		if n > s.sent[user][content] {
			s.t.Fatalf("%s has %d of what was sent %d times: %.80q", home(user), n, s.sent[user][content], content)
		}
	}
	for content, n := range s.sent[user] {
		missing += n - got[content]
	}
	return missing
}

// until waits for something.
func (s *station) until(what string, happened func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(wide); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never happened: %s\n%s", what, s.log())
		}
	}
}

func (s *station) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // none yet
	return string(text)
}

func (s *station) logged(text string) func() bool {
	return func() bool { return strings.Contains(s.log(), text) }
}

func (s *station) arrived(user string) func() bool {
	return func() bool { return s.missing(user) == 0 }
}

// command prepares popferry, whose output goes into the log.
func (s *station) command(args ...string) *exec.Cmd {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { log.Close() })
	cmd := exec.Command("popferry", append(args, "--config", filepath.Join(s.dir, "accounts.yaml"),
		"--state", filepath.Join(s.dir, "state"))...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd
}

// bridge starts one.
func (s *station) bridge(env ...string) *exec.Cmd {
	s.t.Helper()
	return s.start(s.command("bridge", "--verbose"), env...)
}

// start has a command run in the background.
func (s *station) start(cmd *exec.Cmd, env ...string) *exec.Cmd {
	s.t.Helper()
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // mostly it has ended
		_ = cmd.Wait()
	})
	return cmd
}

// ends tells a bridge to, and wants it to do so with 0 within half a minute.
func (s *station) ends(bridge *exec.Cmd) {
	s.t.Helper()
	send(s.t, bridge, syscall.SIGTERM)
	killer := time.AfterFunc(30*time.Second, func() { _ = bridge.Process.Kill() })
	defer killer.Stop()
	if err := bridge.Wait(); err != nil {
		s.t.Fatalf("it ended with: %v\n%s", err, s.log())
	}
}

func send(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func ordinary(n int, seed int64) (mails [][]byte) {
	for _, m := range corpus.Ordinary(n, seed) {
		mails = append(mails, m.Raw)
	}
	return mails
}

// TestBridgeIsKilled amid what it carries, and started again: nothing is lost or doubled.
func TestBridgeIsKilled(t *testing.T) {
	s := newStation(t, "alice", "bob")
	for round := range 5 {
		s.deliver("alice", ordinary(150, int64(round))...)
		s.deliver("bob", ordinary(20, int64(100+round))...)
		before := s.missing("alice")
		bridge := s.bridge()
		s.until("something arrives", func() bool { return s.missing("alice") < before })
		send(t, bridge, syscall.SIGKILL)
		_ = bridge.Wait() // was killed
	}
	bridge := s.bridge()
	s.until("all of alice's mail arrives", s.arrived("alice"))
	s.until("all of bob's mail arrives", s.arrived("bob"))
	s.ends(bridge)
	if err := s.command("run").Run(); err != nil {
		t.Fatalf("%v\n%s", err, s.log())
	}
	if n := s.missing("alice") + s.missing("bob"); n != 0 {
		t.Errorf("%d mails are lost", n)
	}
}

// TestBridgeStopsAmidALargeTransfer: what is in hand is finished and written down, and the
// rest comes later.
func TestBridgeStopsAmidALargeTransfer(t *testing.T) {
	s := newStation(t, "alice")
	s.deliver("alice", ordinary(1500, 9)...)
	bridge := s.bridge()
	s.until("something arrives", func() bool { return s.missing("alice") < 1500 })
	s.ends(bridge)
	there, states := 1500-s.missing("alice"), s.states()
	if states["delivered"] != there || states["intent"] != 0 || there == 1500 {
		t.Errorf("%d are there, and the journal says %v", there, states)
	}
	if err := s.command("run").Run(); err != nil {
		t.Fatalf("%v\n%s", err, s.log())
	}
	if n := s.missing("alice"); n != 0 {
		t.Errorf("%d mails are lost", n)
	}
}

// states are the journal's counts of alice's mail, as status says.
func (s *station) states() map[string]int {
	var told struct {
		Accounts []struct{ States map[string]int }
	}
	s.tells(&told, "status")
	return told.Accounts[0].States
}

// told is how many messages were delivered, as report says.
func (s *station) told() int {
	var told struct{ Totals struct{ Delivered int } }
	s.tells(&told, "report")
	return told.Totals.Delivered
}

// tells takes what a command has to say as JSON.
func (s *station) tells(told any, verb string) {
	s.t.Helper()
	var out bytes.Buffer
	command := s.command(verb, "--json")
	command.Stdout = &out
	if err := command.Run(); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), told); err != nil {
		s.t.Fatal(err)
	}
}

// slowStation has 1,500 mails of alice's, and no pass ends before it is killed.
func slowStation(t *testing.T) *station {
	t.Helper()
	s := newStation(t, "alice")
	s.deliver("alice", ordinary(1500, 9)...)
	s.rewrite("settle: 1s", "settle: 1s\nlimits: {bandwidth: 2MB}")
	return s
}

// kills has a bridge bring more of alice's mail until it is killed.
func (s *station) kills() {
	s.t.Helper()
	before := s.missing("alice")
	bridge := s.bridge()
	s.until("more arrives", func() bool { return s.missing("alice") < before })
	send(s.t, bridge, syscall.SIGKILL)
	_ = bridge.Wait() // was killed
}

// TestAdoptTellsOfTheKilled: what a bridge brought that was killed is in the history, too, if adopt
// comes next.
func TestAdoptTellsOfTheKilled(t *testing.T) {
	s := slowStation(t)
	known := 0
	for known == 0 { // else it was killed before its first mail was in the journal
		s.kills()
		known = s.states()["delivered"]
	}
	_ = s.command("adopt").Run() // there may be doubts
	if n := s.told(); n != known {
		t.Errorf("the history has %d messages delivered, and not %d", n, known)
	}
}

// TestKilledBridgeIsToldOf: what it brought is in the history as soon as the next has begun, though
// that is killed as well, and once.
func TestKilledBridgeIsToldOf(t *testing.T) {
	s := slowStation(t)
	known := 0
	for range 3 {
		s.kills()
		if n := s.told(); n != known {
			t.Errorf("the history has %d messages delivered, and not %d", n, known)
		}
		known = s.states()["delivered"]
	}
	s.rewrite("limits: {bandwidth: 2MB}", "")
	bridge := s.bridge()
	s.until("all of it arrives", s.arrived("alice"))
	s.until("the last doubt is settled", func() bool { return s.states()["delivered"] == 1500 })
	s.ends(bridge)
	if n := s.told(); n != 1500 {
		t.Errorf("the history has %d messages delivered of 1500", n)
	}
}

// TestBridgeReloads: a password that was wrong is right, there is another account, and a
// heartbeat.
func TestBridgeReloads(t *testing.T) {
	beats := make(chan bool, 100)
	monitor := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats <- true }))
	defer monitor.Close()
	s := newStation(t)
	s.configure("wrong", "alice")
	s.deliver("alice", ordinary(5, 1)...)
	s.deliver("bob", ordinary(5, 2)...)
	bridge := s.bridge()
	s.until("alice is refused", s.logged("result=credentials"))
	s.more = ", heartbeat: '" + monitor.URL + "'"
	s.configure(s.server.Password, "alice", "bob")
	send(t, bridge, syscall.SIGHUP)
	s.until("the heart beats", func() bool { return len(beats) > 0 })
	s.until("alice's mail arrives", s.arrived("alice"))
	s.until("bob's mail arrives", s.arrived("bob"))
	s.ends(bridge)
	if text := s.log(); strings.Contains(text, "'"+s.server.Password+"'") {
		t.Errorf("the log has a password:\n%s", text)
	}
}

// TestReloadOfNamedAccounts: the others of accounts.yaml are none of this bridge's.
func TestReloadOfNamedAccounts(t *testing.T) {
	s := newStation(t, "alice", "bob")
	bridge := s.start(s.command("bridge", "--verbose", "alice"))
	s.until("it begins", s.logged("msg=started accounts=1 "))
	send(t, bridge, syscall.SIGHUP)
	s.until("it reads accounts.yaml", s.logged("was read anew"))
	if text := s.log(); !strings.Contains(text, `was read anew" accounts=1`) {
		t.Error(text)
	}
	s.ends(bridge)
}

// TestBridgeWithoutAReader: mail arrives, and the bridge ends in time, when nobody takes what
// its log says, or can.
func TestBridgeWithoutAReader(t *testing.T) {
	for _, name := range []string{"full", "gone"} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t, "alice")
			reader, log, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if err := log.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, _ = log.Write(make([]byte, 1<<20)) // as much as it takes
			if name == "gone" {
				reader.Close()
			}
			cmd := s.command("bridge", "--verbose")
			cmd.Stderr = log
			s.deliver("alice", ordinary(3, 4)...)
			bridge := s.start(cmd)
			log.Close()
			s.until("mail arrives", s.arrived("alice"))
			s.ends(bridge)
		})
	}
}

// TestBadLoginsOfACrashLoop: a bridge that is killed again and again has a password refused
// three times, and then says that it waits.
func TestBadLoginsOfACrashLoop(t *testing.T) {
	s := newStation(t)
	s.configure("wrong", "alice")
	for n := 1; n <= 3; n++ {
		bridge := s.bridge()
		s.until("alice is refused", func() bool { return strings.Count(s.log(), "result=credentials") == n })
		send(t, bridge, syscall.SIGKILL)
		_ = bridge.Wait() // was killed
	}
	bridge := s.bridge()
	s.until("it waits", s.logged("msg=\"parked: its credentials were refused three times within the hour\" account=alice"))
	s.ends(bridge)
	if err := s.command("status").Run(); err != nil || !s.logged("alice is parked: its credentials were refused, last at 20")() {
		t.Errorf("%v\n%s", err, s.log())
	}
	if n := s.badLogins("alice"); n != 3 {
		t.Errorf("%d bad logins:\n%s", n, s.log())
	}
}

// badLogins is how many the server refused a user by POP3, as it counts them.
func (s *station) badLogins(user string) (n int) {
	s.t.Helper()
	log, err := os.ReadFile(s.server.Log)
	if err != nil {
		s.t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)pop3-login: .*auth failed, (\d+) attempts.*user=<` + user + `>`)
	for _, m := range line.FindAllSubmatch(log, -1) {
		attempts, _ := strconv.Atoi(string(m[1])) // digits
		n += attempts
	}
	return n
}

// TestBadLoginsWithScram: where the server offers SCRAM a pass may have two ways to log in
// refused. Neither restarts nor SIGHUP make that more than three an hour.
func TestBadLoginsWithScram(t *testing.T) {
	s := stationOf(t, dovecot.Options{SignIn: &dovecot.SignIn{Introspection: "http://127.0.0.1:9/"}})
	s.configure("wrong", "alice")
	first := s.bridge()
	s.until("alice is refused", s.logged("result=credentials"))
	send(t, first, syscall.SIGHUP)
	s.until("it reads accounts.yaml", s.logged("was read anew"))
	s.until("alice is refused again", func() bool { return strings.Count(s.log(), "result=credentials") == 2 })
	s.ends(first)
	for n := 1; n <= 2; n++ {
		bridge := s.bridge()
		s.until("it waits", func() bool { return strings.Count(s.log(), "parked: its credentials") == n })
		s.ends(bridge)
	}
	s.until("the server wrote it down", func() bool { return s.badLogins("alice") >= 3 })
	if n := s.badLogins("alice"); n != 3 {
		t.Errorf("%d bad logins:\n%s", n, s.log())
	}
}

// TestBridgeStopsWhileItAsks for passwords at its start: with 0, and SIGHUP changes nothing.
func TestBridgeStopsWhileItAsks(t *testing.T) {
	s := newStation(t, "alice")
	asked := filepath.Join(s.dir, "asked")
	s.rewrite("password: '"+s.server.Password+"'", "password: {command: [sh, -c, 'touch "+asked+"; exec sleep 100']}")
	bridge := s.bridge()
	s.until("it asks", func() bool { _, err := os.Stat(asked); return err == nil })
	send(t, bridge, syscall.SIGHUP)
	s.ends(bridge)
}

// TestBridgeSaysAllInJSON, also while it is stopped amid a reload, which is no mistake in
// accounts.yaml.
func TestBridgeSaysAllInJSON(t *testing.T) {
	s := newStation(t, "alice")
	bridge := s.start(s.command("bridge", "--log", "json"))
	s.until("it started", s.logged(`"started"`))
	asked := filepath.Join(s.dir, "asked")
	s.rewrite("password: '"+s.server.Password+"'", "password: {command: [sh, -c, 'touch "+asked+"; exec sleep 100']}")
	send(t, bridge, syscall.SIGHUP)
	s.until("it asks", func() bool { _, err := os.Stat(asked); return err == nil })
	s.ends(bridge)
	for line := range strings.Lines(s.log()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "is wrong") {
			t.Errorf("%s", line)
		}
	}
	if !s.logged("finishing what is under way")() {
		t.Errorf("it did not say that it finishes:\n%s", s.log())
	}
}

// TestBridgeTellsSystemd when it is ready, alive, reloading, alive in that, and stopping.
func TestBridgeTellsSystemd(t *testing.T) {
	s := newStation(t, "alice")
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := func(want string) {
		t.Helper()
		buffer := make([]byte, 1024)
		if err := socket.SetReadDeadline(time.Now().Add(wide)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("no %s: %v\n%s", want, err, s.log())
			}
			text := string(buffer[:n])
			if regexp.MustCompile("^" + want + "$").MatchString(text) {
				return
			}
			if text != "WATCHDOG=1" {
				t.Fatalf("%q instead of %s", text, want)
			}
		}
	}
	bridge := s.bridge("NOTIFY_SOCKET="+address.Name, "WATCHDOG_USEC=200000")
	next("READY=1")
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	s.rewrite("password: '"+s.server.Password+"'", "password: {command: [sh, -c, 'sleep 1; echo "+s.server.Password+"']}")
	send(t, bridge, syscall.SIGHUP)
	next(`RELOADING=1\nMONOTONIC_USEC=[1-9]\d*\n`)
	next("WATCHDOG=1")
	next("WATCHDOG=1")
	next("READY=1")
	send(t, bridge, syscall.SIGTERM)
	next("STOPPING=1")
	if err := bridge.Wait(); err != nil {
		t.Error(err)
	}
}
