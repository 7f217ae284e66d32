package plan_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/plan"
)

func TestBridgeDefaults(t *testing.T) {
	c := parse(t, account())
	want := plan.Pace{Interval: 5 * time.Minute, Fastest: time.Minute, AlertAfter: time.Hour}
	if c.Accounts[0].Pace != want || c.Bridge.Listen != "" || c.Bridge.History != 90*24*time.Hour || c.Bridge.Alerts.Mail != nil {
		t.Errorf("%+v, %+v", c.Accounts[0].Pace, c.Bridge)
	}
}

func TestBridge(t *testing.T) {
	t.Setenv("TOKEN", "t0ken-t0ken")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hook"), "https://alerts.example.org/secret\n", 0o600)
	path := write(t, filepath.Join(dir, "accounts.yaml"), account("    bridge: {interval: 15m}",
		"bridge:", "  interval: 2m", "  fastest: 30s", "  listen: \"[::]:8325\"", "  token: {env: TOKEN}",
		"  heartbeat: http://localhost:9/x", "  alerts:", "    webhook: {file: hook}", "    command: [sh, -c, cat]",
		"    mail: {host: smtp.example.org, tls: starttls, from: a@example.org, to: b@example.org}"), 0o600)
	t.Setenv("A", "x")
	t.Setenv("B", "x")
	c, err := plan.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ResolveBridge(context.Background()); err != nil {
		t.Fatal(err)
	}
	b := c.Bridge
	if p := c.Accounts[0].Pace; p.Interval != 15*time.Minute || p.Fastest != 30*time.Second {
		t.Errorf("%+v", p)
	}
	if b.Token.Secret.Reveal() != "t0ken-t0ken" || b.Alerts.Webhook.Secret.Reveal() != "https://alerts.example.org/secret" ||
		b.Heartbeat.Secret.Reveal() != "http://localhost:9/x" || b.Alerts.Mail.Port != 587 ||
		!slices.Equal(b.Alerts.Mail.To, []string{"b@example.org"}) || len(b.Alerts.Command) != 3 {
		t.Errorf("%+v", b)
	}
	if err := os.WriteFile(filepath.Join(dir, "hook"), []byte("alerts.example.org"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = c.ResolveBridge(context.Background())
	if fault.CodeOf(err) != fault.Config || !strings.Contains(err.Error(), "must be a web address") || strings.Contains(err.Error(), "alerts.example") {
		t.Errorf("%v", err)
	}
}

// TestBridgeValuesThatCannotWork are told before they are needed, each with its line.
func TestBridgeValuesThatCannotWork(t *testing.T) {
	t.Setenv("TOKEN", "x          ")
	t.Setenv("HOOK", "https://hooks.example.org:99999/x")
	c := parse(t, account("bridge:", "  token: {env: TOKEN}", "  alerts:", "    webhook: {env: HOOK}", "    command: [/nowhere/page-me, now]"))
	err := c.ResolveBridge(context.Background())
	if fault.CodeOf(err) != fault.Config {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"bridge.token, environment variable TOKEN, is too short for a token: use 8 characters",
		"bridge.alerts.webhook, environment variable HOOK, must have a port from 1 to 65535",
		`bridge.alerts.command "/nowhere/page-me" can't be started: no such file`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if n := strings.Count(err.Error(), "accounts.yaml:"); n != 3 {
		t.Errorf("%d places in %v", n, err)
	}
}

// TestShorterIntervalThanTheFastest: an account that is to pass more often than all others at their
// fastest does; only what one mapping says of both is a contradiction.
func TestShorterIntervalThanTheFastest(t *testing.T) {
	all := []string{"bridge:", "  interval: 5m", "  fastest: 1m"}
	c := parse(t, account(append([]string{"    bridge: {interval: 30s}"}, all...)...))
	if p := c.Accounts[0].Pace; p.Interval != 30*time.Second || p.Fastest != 30*time.Second {
		t.Errorf("%+v", p)
	}
	_, err := plan.Parse("accounts.yaml", []byte(account(append([]string{"    bridge: {interval: 30s, fastest: 1m}"}, all...)...)))
	if err == nil || !strings.Contains(err.Error(), "bridge.fastest must be from 10s to the interval (30s)") {
		t.Errorf("%v", err)
	}
}

// TestListenWithoutPort is told as that alone: where it would be reached from, nobody knows.
func TestListenWithoutPort(t *testing.T) {
	_, err := plan.Parse("accounts.yaml", []byte(account("bridge:", "  listen: 127.0.0.1")))
	if err == nil || !strings.Contains(err.Error(), "must be an address and a port") || strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
}
