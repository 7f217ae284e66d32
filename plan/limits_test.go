package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/plan"
)

func TestLimits(t *testing.T) {
	c := parse(t, account("limits:", "  bandwidth: 2MiB", "  messages_per_minute: 600", "  accounts: 3",
		"  hosts: {IMAP.example.net: {connections: 10, bandwidth: 100kB}, pop.example.org: {messages_per_minute: 30, bytes_per_day: 500MiB},",
		"    imap.gmail.com: {bytes_per_day: unlimited}, slow.example: {hours: '01:00-02:00'}}"))
	var all [7]bool
	for d := range all {
		all[d] = true
	}
	if want := (plan.Rates{Bandwidth: 2 << 20, MessagesPerMinute: 600}); c.Limits.Rates != want {
		t.Errorf("%+v", c.Limits)
	}
	for host, want := range map[string]plan.HostLimits{
		"imap.example.net": {Connections: 10, Rates: plan.Rates{Bandwidth: 100_000}},
		"pop.example.org": {Connections: 4, Rates: plan.Rates{MessagesPerMinute: 30},
			BytesPerDay: 500 << 20},
		"imap.gmail.com": {Connections: 4, BytesPerDay: plan.Unlimited},
		"other.example":  {Connections: 4},
		"slow.example":   {Connections: 4, Hours: plan.Hours{{Days: all, From: 60, To: 120}}},
	} {
		if diff := cmp.Diff(want, c.Limits.Host(host)); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
}

func TestHostLimitsOver(t *testing.T) {
	own := plan.HostLimits{Connections: 2, Rates: plan.Rates{Bandwidth: 5}}
	known := plan.HostLimits{Connections: 15, Rates: plan.Rates{Bandwidth: 7, MessagesPerMinute: 9}}
	want := plan.HostLimits{Connections: 2, Rates: plan.Rates{Bandwidth: 5, MessagesPerMinute: 9}}
	if diff := cmp.Diff(want, own.Over(known)); diff != "" {
		t.Error(diff)
	}
	night, day := plan.Hours{{From: 22 * 60, To: 6 * 60}}, plan.Hours{{From: 6 * 60, To: 22 * 60}}
	for _, h := range [][3]plan.Hours{{night, day, night}, {nil, day, day}, {night, nil, night}} {
		got := plan.HostLimits{Hours: h[0]}.Over(plan.HostLimits{Hours: h[1]})
		if diff := cmp.Diff(h[2], got.Hours); diff != "" {
			t.Error(diff)
		}
	}
	known = plan.HostLimits{BytesPerDay: 500, KnownOf: "Example"}
	for bytes, want := range map[int64]plan.HostLimits{0: known, 7: {BytesPerDay: 7}, plan.Unlimited: {BytesPerDay: plan.Unlimited}} {
		if diff := cmp.Diff(want, plan.HostLimits{BytesPerDay: bytes}.Over(known)); diff != "" {
			t.Errorf("%d: %s", bytes, diff)
		}
	}
}

// TestUserLimitOf: one user in several spellings is one.
func TestUserLimitOf(t *testing.T) {
	limit := plan.UserLimit{Connections: 15, Provider: "Example Mail", Domains: "example.org mail.example.org"}
	of := func(user string) string { return limit.Of(plan.Endpoint{Username: user}) }
	for _, user := range []string{"alice@example.org", "Alice@Example.org", "alice@mail.example.org", "ALICE"} {
		if of(user) != of("alice") {
			t.Errorf("%s is %q", user, of(user))
		}
	}
	for _, user := range []string{"alice@example.net", "bob", "alice@example"} {
		if of(user) == of("alice") {
			t.Errorf("%s counts as alice", user)
		}
	}
}

func TestHours(t *testing.T) {
	const layout = "Mon 2 Jan 2006 15:04"
	for _, c := range []struct {
		hours, now string
		open       bool
		until      string
	}{
		{"22:00-06:00", "Sun 1 Mar 2026 12:00", false, "Sun 1 Mar 2026 22:00"},
		{"22:00-06:00", "Sun 1 Mar 2026 22:00", true, "Mon 2 Mar 2026 06:00"},
		{"22:00-06:00", "Mon 2 Mar 2026 05:59", true, "Mon 2 Mar 2026 06:00"},
		{"22:00-06:00", "Mon 2 Mar 2026 06:00", false, "Mon 2 Mar 2026 22:00"},
		{"8:30-17:00", "Mon 2 Mar 2026 08:30", true, "Mon 2 Mar 2026 17:00"},
		{"Mon-Fri 22:00-06:00", "Sat 7 Mar 2026 05:00", true, "Sat 7 Mar 2026 06:00"},
		{"Mon-Fri 22:00-06:00", "Sat 7 Mar 2026 23:00", false, "Mon 9 Mar 2026 22:00"},
		{"Fri-Mon 10:00-11:00", "Mon 2 Mar 2026 12:00", false, "Fri 6 Mar 2026 10:00"},
		{"sat,Sun 00:00-24:00", "Sat 7 Mar 2026 12:00", true, "Mon 9 Mar 2026 00:00"},
		{"Mon-Fri 22:00-06:00; Sat,Sun 00:00-24:00", "Fri 6 Mar 2026 23:00", true, "Mon 9 Mar 2026 00:00"},
		{"Mon 10:00-11:00", "Mon 2 Mar 2026 11:00", false, "Mon 9 Mar 2026 10:00"},
		{"00:00-24:00", "Sun 1 Mar 2026 12:00", true, ""},
	} {
		list := `["` + strings.ReplaceAll(c.hours, "; ", `", "`) + `"]`
		hours := parse(t, account("limits: {hours: "+list+"}")).Limits.Hours
		now, err := time.Parse(layout, c.now)
		if err != nil {
			t.Fatal(err)
		}
		open, until := hours.Open(now)
		shown := until.Format(layout)
		if until.IsZero() {
			shown = ""
		}
		if open != c.open || shown != c.until {
			t.Errorf("%s at %s: %v until %s; want %v until %s", c.hours, c.now, open, shown, c.open, c.until)
		}
	}
}

// TestHoursWhenClocksChange: the end is where the clock says so, although the night is
// an hour shorter.
func TestHoursWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	hours := parse(t, account("limits: {hours: 22:00-06:00}")).Limits.Hours
	now := time.Date(2026, 3, 28, 23, 0, 0, 0, berlin)
	if _, until := hours.Open(now); until.Sub(now) != 6*time.Hour || until.Hour() != 6 {
		t.Errorf("until %v", until)
	}
}

func TestNoHoursAreAll(t *testing.T) {
	if open, until := (plan.Hours)(nil).Open(now); !open || !until.IsZero() {
		t.Errorf("%v until %v", open, until)
	}
}

// TestHoursInAStrayZone: hours by another clock than people mean are refused, and nothing else is.
func TestHoursInAStrayZone(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	for zone, c := range map[string]struct {
		is      *time.Location
		refused bool
	}{
		"":               {time.UTC, false},
		"UTC":            {time.UTC, false},
		"Europe/Berlni":  {time.UTC, true},
		":CET-1CEST":     {time.UTC, true},
		"Europe/Berlin":  {time.FixedZone("Europe/Berlin", 3600), false},
		"/etc/localtime": {time.FixedZone("Local", 3600), false},
	} {
		t.Setenv("TZ", zone)
		time.Local = c.is
		_, err := plan.Parse("accounts.yaml", []byte(account("limits: {hours: 22:00-06:00}")))
		if refused := err != nil; refused != c.refused || refused && !strings.Contains(err.Error(), strings.TrimPrefix(zone, ":")) {
			t.Errorf("TZ=%s: %v", zone, err)
		}
		parse(t, account(""))
	}
}
