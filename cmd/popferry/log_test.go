package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/post"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// places are the answers that a hostile server fills with what it likes.
var places = []string{"GREETING", "CAPA", "AUTH", "SASL", "USER", "PASS", "LIST", "UIDL", "RETR", "QUIT", "IMAP"}

// body is content of a mail, which the log must not have.
const body = "the-secret-of-the-letter"

// FuzzLog: whatever servers say, the log has whole lines that show nothing but what can be
// seen, no password in any form, and no content of mail.
func FuzzLog(f *testing.F) {
	for n, text := range []string{"", "no", "a\x1b[31mred\x1b[0m", "\u202egnp.exe\u202c", "\xff\xfe", "a\r\nlevel=ERROR msg=forged",
		"\x00\x07\x7f\u0085\u2028\u2066", "level=INFO msg=\"pass\" account=bob", `"}{"msg":"forged"`, strings.Repeat("long ", 400),
		"your password " + password + " is wrong", base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + password)),
		strconv.Quote(password), "[SYS/TEMP] " + password} {
		for i := n % 3; i < len(places); i += 3 {
			f.Add(text, uint8(i), (i+n)%2 == 0)
		}
		f.Add(text, uint8(len(places)-1), false) // IMAP
	}
	f.Fuzz(func(t *testing.T, text string, place uint8, ok bool) {
		for _, form := range []string{"text", "json"} {
			checkLog(t, form, hostileLog(t, form, text, places[int(place)%len(places)], ok))
		}
	})
}

// hostileLog is what a bridge writes of a pass between servers of which one says such a
// text.
func hostileLog(t *testing.T, form, text, place string, ok bool) string {
	answer := map[bool]string{true: "+OK " + text + "\r\n.\r\n", false: "-ERR " + text + "\r\n"}[ok]
	pop := popd.New(popd.Options{Reply: func(verb string, _ int) ([]byte, bool) { return []byte(answer), verb == place }},
		[]byte("Subject: "+body+"\r\n\r\n"+body+"\r\n"))
	defer pop.Close()
	imap := imapd.New(imapd.Options{Refuse: func([]byte) string {
		if place != "IMAP" {
			return ""
		}
		return "NO " + strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
	}})
	defer imap.Close()
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var out bytes.Buffer
	log, err := (&app{verbose: true}).logger(form, &out)
	if err != nil {
		t.Fatal(err)
	}
	office, err := post.Open(plan.Bridge{}, post.Shelf{}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer office.Close()
	k := &keeping{log: log, office: office, bridge: bridge.New(bridge.Options{})}
	side := func(port int, dial wire.DialFunc) plan.Endpoint {
		return plan.Endpoint{Endpoint: wire.Endpoint{Host: "localhost", Port: port, TLS: wire.None, Dial: dial},
			Username: "alice", Secret: secret.New(password), Auth: "plain", Connections: 1}
	}
	fleet := ferry.NewFleet(ferry.Options{Journal: j, Spool: t.TempDir(), Observe: k.observe, NoWait: true,
		Random: func() float64 { return 0 }, Config: &plan.Config{Accounts: []plan.Account{{Name: "alice", Folder: "INBOX",
			Source: side(110, pop.Dial), Destination: side(143, imap.Dial)}},
			Limits: plan.Limits{Accounts: 1, PerHost: 4}, Settle: time.Millisecond}})
	defer fleet.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // who waits for more has said it all
	defer cancel()
	p := bridge.Pass{Started: time.Now(), Report: fleet.Pass(ctx, "alice", false), Next: time.Now()}
	k.tell(p)
	news := &bridge.Newsroom{After: func(string) time.Duration { return 0 }, Load: func(string) string { return "" },
		Save: func(string, string) {}}
	k.publish(news.From(p))
	return out.String()
}

func checkLog(t *testing.T, form, text string) {
	if !strings.HasSuffix(text, "\n") || !utf8.ValidString(text) {
		t.Errorf("%s: %q", form, text)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: %q at %d", form, line, i)
		}
		if form == "json" && !json.Valid([]byte(line)) || form == "text" && !strings.HasPrefix(line, "time=") {
			t.Errorf("%s: %q is no line of a log", form, line)
		}
	}
	for _, form := range []string{password, base64.StdEncoding.EncodeToString([]byte(password)),
		base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + password)), body} {
		if strings.Contains(text, form) {
			t.Errorf("the log has %q:\n%s", form, text)
		}
	}
}

// TestWhyABridgeEnds is a line of the log where programs read that, else a text for people.
func TestWhyABridgeEnds(t *testing.T) {
	config := filepath.Join(t.TempDir(), "accounts.yaml")
	if err := os.WriteFile(config, []byte("accounts: [{source: {host: 1}}]\nbridge: {interval: soon}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{config, config + ".none"} {
		var text, lines bytes.Buffer
		args := []string{"bridge", "--state", t.TempDir(), "--config", file, "--log"}
		people, programs := run(append(args, "text"), io.Discard, &text), run(append(args, "json"), io.Discard, &lines)
		if people != programs || people == 0 || !strings.HasPrefix(text.String(), "popferry: ") {
			t.Errorf("%d, %d, %q", people, programs, text.String())
		}
		var line struct{ Error, Check, Result string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Error == "" || line.Check == "" || line.Result == "" {
			t.Errorf("%v: %s", err, lines.String())
		}
	}
}

// TestProgressIsShown while a pass is under way.
func TestProgressIsShown(t *testing.T) {
	k := &keeping{bridge: bridge.New(bridge.Options{})}
	ctx, cancel := context.WithCancel(t.Context())
	k.bridge.Start(ctx, []bridge.Account{{Name: "alice", Interval: time.Hour, Fastest: time.Hour,
		Pass: func(context.Context, bool) ferry.AccountReport {
			defer cancel()
			k.observe(ferry.Event{Kind: ferry.Planned, Account: "alice", Messages: 9})
			k.observe(ferry.Event{Kind: ferry.Delivered, Account: "alice", Messages: 5})
			k.observe(ferry.Event{Kind: ferry.Skipped, Account: "alice", Messages: 1})
			if a := k.bridge.Snapshot().Accounts[0]; a.Delivered != 5 || a.Left != 3 {
				t.Errorf("%+v", a)
			}
			return ferry.AccountReport{}
		}}})
	k.bridge.Wait()
}

// TestDoubtIsLogged: a pass that waits for an append to settle does nothing else for that time.
func TestDoubtIsLogged(t *testing.T) {
	var out bytes.Buffer
	log, err := new(app).logger("text", &out)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeping{log: log, bridge: bridge.New(bridge.Options{})}
	k.observe(ferry.Event{Kind: ferry.Waiting, Account: "alice", Messages: 1, Text: "1 append to show up"})
	k.observe(ferry.Event{Kind: ferry.Waiting, Account: "alice", Text: "another login"})
	if n := strings.Count(out.String(), "msg=waiting"); n != 1 || !strings.Contains(out.String(), `for="1 append to show up"`) {
		t.Errorf("%s", &out)
	}
}

// TestALineAPass: one that finds nothing is told once an hour, with how many there were, and
// at once after a failure; with --verbose each is.
func TestALineAPass(t *testing.T) {
	well := ferry.AccountReport{Name: "alice", Totals: ferry.Totals{Listed: 3, Known: 3}}
	brings, fails := well, well
	brings.Delivered = 1
	fails.ExitCode, fails.Error = fault.Temporary, &ferry.ErrorReport{Code: fault.Temporary, Message: "away"}
	var hours []ferry.AccountReport
	for range 25 {
		hours = append(hours, well)
	}
	hours = append(hours, brings, brings, well, fails, fails, well, well)
	for verbose, want := range map[bool]int{false: 3 + 2 + 1 + 1, true: 25 + 2 + 1 + 1 + 2} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			log, err := (&app{verbose: verbose}).logger("text", &out)
			if err != nil {
				t.Fatal(err)
			}
			k := &keeping{log: log}
			for n, r := range hours {
				r.Seconds = float64(n)
				k.tell(bridge.Pass{Started: time.Now(), Report: r, Next: time.Now().Add(5 * time.Minute)})
				time.Sleep(5 * time.Minute)
			}
			if n := strings.Count(out.String(), "msg=pass"); n != want || !verbose && !strings.Contains(out.String(), "again=11") {
				t.Errorf("verbose %v: %d lines, want %d:\n%s", verbose, n, want, &out)
			}
		})
	}
}
