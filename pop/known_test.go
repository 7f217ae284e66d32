package pop_test

import (
	"encoding/json"
	"testing"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/pop"
)

// TestKnown: once a server said twice the same, a session with TLS from the first octet asks
// it only together with the listing.
func TestKnown(t *testing.T) {
	for name, c := range map[string]struct {
		mode   popd.Mode
		server popd.Options
		want   []int
	}{
		"implicit":          {popd.Implicit, popd.Options{UTF8: true}, []int{4, 3, 3}},
		"differs by user":   {popd.Implicit, popd.Options{Capabilities: []string{"EXPIRE 5 USER"}}, []int{4, 3, 3}},
		"starttls":          {popd.STLS, popd.Options{}, []int{5, 5, 5}},
		"clear text":        {popd.Plain, popd.Options{}, []int{4, 4, 4}},
		"no pipelining":     {popd.Implicit, popd.Options{NoPipelining: true}, []int{6, 6, 6}},
		"CAPA is not known": {popd.Implicit, popd.Options{NoCAPA: true}, []int{7, 7, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			_, o := secured(t, c.mode, c.server, "A: b\r\n\r\nc\r\n")
			o.Known = &pop.Known{}
			for i, want := range c.want {
				m := dial(t, o)
				list(t, m)
				if got := m.RoundTrips(); got != want {
					t.Errorf("session %d has %d round trips, want %d", i+1, got, want)
				}
				m.Close()
			}
		})
	}
}

// TestKnownByAnotherProcess: what an earlier process saved is of no use where it can't be read, is
// held against the server like what this one heard, and forgotten where a login is refused.
func TestKnownByAnotherProcess(t *testing.T) {
	server, o := secured(t, popd.Implicit, popd.Options{Username: "alice", Password: "open sesame"}, "A: b\r\n\r\nc\r\n")
	o.Username, o.Password = "alice", secret.New("open sesame")
	text := "{"
	known := func() *pop.Known {
		return &pop.Known{Load: func(string) string { return text }, Save: func(_, now string) { text = now }}
	}
	caps := pop.Capabilities{Known: true, Pipelining: true, Top: true, UIDL: true, SASL: []string{"PLAIN"}}
	old, err := json.Marshal(map[string]pop.Capabilities{"Before": caps, "After": caps})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0, 0, 1} { // questions before the login
		switch i {
		case 1:
			text = string(old)
		case 2:
			o.Password = secret.New("wrong")
		case 3:
			o.Password = secret.New("open sesame")
		}
		o.Known = known()
		before := server.Counters().Commands["CAPA"]
		m, err := pop.Dial(t.Context(), o)
		if wrong := i == 2; (err != nil) != wrong || (text == "") != (i >= 2) {
			t.Errorf("%d: %v, %q", i, err, text)
		}
		if n := server.Counters().Commands["CAPA"] - before; n != want {
			t.Errorf("%d: asked %d times before the login", i, n)
		}
		if err == nil {
			m.Close()
		}
	}
}

// TestKnownIsHeldAgainstTheServer: what changed is believed in the same session, before
// anything is retrieved, and the next one asks first again.
func TestKnownIsHeldAgainstTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*popd.Options)
		unsure bool
	}{
		"EXPIRE 0": {func(o *popd.Options) { o.ExpireAtOnce = true }, false},
		"no CAPA":  {func(o *popd.Options) { o.NoCAPA = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			server, o := secured(t, popd.Implicit, popd.Options{}, "A: b\r\n\r\nc\r\n")
			o.Known = &pop.Known{}
			for range 2 {
				m := dial(t, o)
				list(t, m)
				m.Close()
			}
			server.Configure(c.change)
			m := dial(t, o)
			list(t, m)
			if caps := m.Capabilities(); caps.Unsure != c.unsure || !c.unsure && caps.Expire != "0" {
				t.Errorf("%+v", caps)
			}
			m.Close()
			before := server.Counters().Commands["CAPA"]
			dial(t, o).Close()
			if n := server.Counters().Commands["CAPA"] - before; n != 1 {
				t.Errorf("the next session asks %d times before it lists", n)
			}
		})
	}
}

// TestKnownAndRefused: a login that fails may be due to what is not offered any more.
func TestKnownAndRefused(t *testing.T) {
	server, o := secured(t, popd.Implicit, popd.Options{Username: "alice", Password: "open sesame"})
	o.Known = &pop.Known{}
	m := dial(t, o)
	list(t, m)
	m.Close()
	wrong := o
	wrong.Password = secret.New("wrong")
	before := server.Counters().Commands["CAPA"]
	for range 2 {
		if _, err := pop.Dial(t.Context(), wrong); fault.CodeOf(err) != fault.Credentials {
			t.Fatal(err)
		}
	}
	if n := server.Counters().Commands["CAPA"] - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
}
