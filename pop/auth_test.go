package pop_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/wordings"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/pop"
)

// C5: every password arrives exactly, in each way to log in.
func TestC5Passwords(t *testing.T) {
	servers := map[string]popd.Options{
		"pipelined":    {},
		"no pipeline":  {NoPipelining: true},
		"no CAPA":      {NoCAPA: true},
		"lying CAPA":   {NoSASL: true, Capabilities: []string{"SASL PLAIN"}},
		"ignores SASL": {Reply: onceMore(t)},
	}
	passwords := []string{
		"simple", " leading and trailing ", `"quoted" \ #:%s`, "pässwörd ✓", "",
		strings.Repeat("long", 60),
	}
	for name, o := range servers {
		for _, password := range passwords {
			for _, auth := range []string{"", "auto", "plain", "user"} {
				if auth == "plain" && o.NoSASL {
					continue
				}
				o.Username, o.Password = "alice", password
				options := over(serve(t, o))
				options.Auth, options.Password = auth, secret.New(password)
				m, err := pop.Dial(t.Context(), options)
				if err != nil {
					t.Fatalf("%s, auth %q, password %q: %v", name, auth, password, err)
				}
				m.Close()
			}
		}
	}
}

// onceMore is a server that does not know initial responses: it takes the first
// line of AUTH for the whole and asks.
func onceMore(*testing.T) func(string, int) ([]byte, bool) {
	return replies(map[string]string{"AUTH": "+ \r\n"})
}

func TestLoginRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		reply string
		code  fault.Code
		words []string
	}{
		"S1 code": {"-ERR [IN-USE] maildrop busy", fault.Temporary,
			[]string{"password is right"}},
		"S1 lower case": {"-ERR [in-use] x", fault.Temporary, []string{"password is right"}},
		"S1 lock":       {"-ERR Unable to lock maildrop", fault.Temporary, []string{"another session"}},
		"S1 locked":     {"-ERR maildrop already locked", fault.Temporary, []string{"password is right"}},
		"S1 wait":       {"-ERR please wait", fault.Temporary, []string{"later"}},
		"S2": {"-ERR [LOGIN-DELAY] 5 minutes", fault.Temporary,
			[]string{"pause between logins"}},
		"S3 temporary":   {"-ERR [SYS/TEMP] database down", fault.Temporary, []string{"status page", "later"}},
		"S3 permanent":   {"-ERR [SYS/PERM] account closed", fault.Refused, []string{"operator"}},
		"S3 unknown SYS": {"-ERR [SYS/ODD] x", fault.Temporary, nil},
		"S3 AUTH":        {"-ERR [AUTH] locked out, wait", fault.Credentials, []string{"password"}},
		"S3 bare":        {"-ERR", fault.Credentials, []string{"password", "TLS"}},
		"S3 text":        {"-ERR Logon failure", fault.Credentials, []string{"Logon failure"}},
		"S3 polite":      {"-ERR Incorrect password, please try again", fault.Credentials, nil},
		"S3 locked out":  {"-ERR account locked after too many failed attempts", fault.Credentials, nil},
		"S3 blocked":     {"-ERR Account blocked by administrator", fault.Credentials, nil},
		"S3 passing":     {"-ERR can't verify the password, system busy", fault.Temporary, nil},
		"no mailbox": {"-ERR User is authenticated but not connected.", fault.Credentials,
			[]string{"the login is right", "licence"}},
		"S3 damaged": {"-ERR message is damaged", fault.Refused, []string{"can't read", "operator"}},
		"S3 echo": {"-ERR unknown user or password open sesame", fault.Credentials,
			[]string{"***"}},
		"M16": {"-ERR \x1b]0;boo\a", fault.Credentials, []string{`\x1b]0;boo\x07`}},
		"M12": {"-ERR " + strings.Repeat("x", 9000), fault.Protocol, []string{"8192"}},
		"nonsense": {"530 authentication required", fault.Protocol,
			[]string{"not a POP3 reply"}},
		"echo": {"PASS open sesame", fault.Protocol, []string{"PASS ***"}},
	} {
		for _, auth := range []string{"user", "plain"} {
			t.Run(name+"/"+auth, func(t *testing.T) {
				reply := test.reply + "\r\n"
				both := replies(map[string]string{"PASS": reply, "AUTH": reply})
				server := serve(t, popd.Options{Reply: both})
				options := over(server)
				options.Auth = auth
				_, err := pop.Dial(t.Context(), options)
				wantFault(t, err, test.code, test.words...)
				commands := server.Counters().Commands
				if n := commands["PASS"] + commands["AUTH"]; n != 1 {
					t.Errorf("%d logins were tried, want one", n)
				}
			})
		}
	}
}

// TestWordings: what real servers say leads to the class it has to.
func TestWordings(t *testing.T) {
	for _, r := range append(wordings.Bare(), wordings.POP3()...) {
		reply := "-ERR " + r.Text + "\r\n"
		options := over(serve(t, popd.Options{Reply: replies(map[string]string{"PASS": reply, "AUTH": reply})}))
		options.Auth = "plain"
		if _, err := pop.Dial(t.Context(), options); fault.CodeOf(err) != r.Class {
			t.Errorf("%s, %q: %v, want %v", r.Server, r.Text, fault.CodeOf(err), r.Class)
		}
	}
}

func TestUserRefused(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		server := serve(t, popd.Options{
			NoPipelining: noPipelining, NoSASL: true,
			Reply: replies(map[string]string{"USER": "-ERR [SYS/PERM] no such mailbox\r\n"}),
		})
		_, err := pop.Dial(t.Context(), over(server))
		wantFault(t, err, fault.Refused, "no such mailbox")
		if n := server.Counters().Commands["PASS"]; noPipelining && n != 0 {
			t.Error("PASS was sent although USER was refused")
		}
	}
}

func TestS1Lock(t *testing.T) {
	server := serve(t, popd.Options{Exclusive: true})
	first := dial(t, over(server))
	_, err := pop.Dial(t.Context(), over(server))
	wantFault(t, err, fault.Temporary, "another session")
	if err := first.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestS2LoginDelay(t *testing.T) {
	server := serve(t, popd.Options{LoginDelay: time.Hour})
	m := dial(t, over(server))
	if got := m.Capabilities().LoginDelay; got != time.Hour {
		t.Errorf("LOGIN-DELAY is %v, want 1h", got)
	}
	_, err := pop.Dial(t.Context(), over(server))
	wantFault(t, err, fault.Temporary)
	if got, want := fault.AfterOf(err), time.Hour+time.Second; got != want {
		t.Errorf("wait %v, want %v", got, want)
	}
}

func TestM6Challenges(t *testing.T) {
	for name, test := range map[string]struct {
		challenge, end string
		code           fault.Code
		words          []string
	}{
		"not base64": {"+ go ahead!", "-ERR cancelled", fault.Credentials,
			[]string{"unusable challenge", "go ahead!"}},
		"odd length": {"+ abc", "-ERR cancelled", fault.Credentials,
			[]string{"unusable challenge"}},
		"unasked": {"+ aGVsbG8=", "-ERR cancelled", fault.Credentials,
			[]string{"unusable challenge"}},
		"went on":         {"+ !", "+OK welcome", fault.Protocol, []string{"cancelled"}},
		"again and again": {"+ ", "+ ", fault.Protocol, []string{"cancelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, popd.Options{Reply: replies(map[string]string{
				"AUTH": test.challenge + "\r\n", "SASL": test.end + "\r\n",
			})})
			_, err := pop.Dial(t.Context(), over(server))
			wantFault(t, err, test.code, test.words...)
		})
	}
}

func TestM6ChallengeThenSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := replies(map[string]string{"AUTH": "+ \r\n", "SASL": ""})
		server := serve(t, popd.Options{Reply: silent})
		_, err := pop.Dial(t.Context(), over(server))
		wantFault(t, err, fault.Temporary, "no progress")
	})
}

// RFC 6856 §2.1: before the login, and only when offered.
func TestUTF8(t *testing.T) {
	for _, auth := range []string{"plain", "user"} {
		for _, offered := range []bool{true, false} {
			server := serve(t, popd.Options{UTF8: offered})
			options := over(server)
			options.Auth = auth
			m := dial(t, options)
			want := map[bool]int{true: 1}[offered]
			if got := server.Counters().Commands["UTF8"]; got != want {
				t.Errorf("auth %s: UTF8 sent %d times, want %d", auth, got, want)
			}
			if caps := m.Capabilities(); caps.UTF8 != offered || caps.UTF8User != offered {
				t.Errorf("capabilities %+v", caps)
			}
		}
	}
	refusing := say("UTF8", "-ERR no\r\n")
	refusing.UTF8 = true
	dial(t, over(serve(t, refusing))) // a refusal is no obstacle
}

// A server that hangs up on CAPA, or never answers it, is used without.
func TestCapaUnanswered(t *testing.T) {
	t.Run("hangs up", func(t *testing.T) {
		var server *popd.Server
		server = serve(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
			if cmd == "CAPA" {
				server.Cut()
			}
			return nil, cmd == "CAPA"
		}})
		m := dial(t, over(server))
		if m.Capabilities().Known {
			t.Error("capabilities are known")
		}
		if !m.Capabilities().Unsure {
			t.Error("of the rest nothing is known, and that passes for certain")
		}
		if got := server.Counters().Sessions; got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
	})
	t.Run("never answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := serve(t, say("CAPA", ""))
			list(t, dial(t, over(server)))
		})
	})
}

// TestTwoLines: an Exchange with a greeting of its administrator's, which ends the session over
// an initial response.
func TestTwoLines(t *testing.T) {
	server := serve(t, popd.Options{Username: "alice", Password: "pw", TwoLineAuth: true})
	o := over(server)
	o.Username, o.Password = "alice", hidden("pw")
	dial(t, o)
	if got := server.Counters(); got.Sessions != 2 || got.Logins != 1 {
		t.Errorf("%d logins in %d sessions, want 1 in 2", got.Logins, got.Sessions)
	}
	server.Configure(func(o *popd.Options) { o.Password = "new" })
	_, err := pop.Dial(t.Context(), o)
	wantFault(t, err, fault.Credentials, "wrong user name or password")
}

// TestCapaRefused (S12): only a server that does not know CAPA has none.
func TestCapaRefused(t *testing.T) {
	for reply, want := range map[string]fault.Code{
		"-ERR [SYS/TEMP] later\r\n":                     fault.Temporary,
		"-ERR [IN-USE] locked\r\n":                      fault.Temporary,
		"-ERR too busy\r\n":                             fault.Temporary,
		"-ERR [SYS/PERM] never\r\n":                     fault.Refused,
		"-ERR Unknown command\r\n":                      fault.OK,
		"-ERR unknown command, try again with HELP\r\n": fault.OK,
		"-ERR\r\n": fault.OK,
	} {
		m, err := pop.Dial(t.Context(), over(serve(t, say("CAPA", reply))))
		if fault.CodeOf(err) != want {
			t.Errorf("%q: %v", reply, err)
		}
		if err == nil && m.Capabilities().Unsure {
			t.Errorf("%q leaves a doubt", reply)
		}
	}
}

// TestCapaRefusedAfterLogin: what differs by user is asked again when the user is known.
func TestCapaRefusedAfterLogin(t *testing.T) {
	for reply, want := range map[string]fault.Code{
		"-ERR [SYS/TEMP] later\r\n": fault.Temporary,
		"-ERR not now\r\n":          fault.OK,
	} {
		asked := 0
		m := dial(t, over(serve(t, popd.Options{
			Capabilities: []string{"EXPIRE 5 USER"},
			Reply: func(cmd string, _ int) ([]byte, bool) {
				if cmd == "CAPA" {
					asked++
				}
				return []byte(reply), cmd == "CAPA" && asked > 1
			},
		})))
		if _, err := m.List(t.Context()); fault.CodeOf(err) != want {
			t.Errorf("%q: %v", reply, err)
		}
		if want == fault.OK && !m.Capabilities().Unsure {
			t.Errorf("%q leaves no doubt", reply)
		}
	}
}

func TestUnknownAuth(t *testing.T) {
	options := over(serve(t, popd.Options{}))
	options.Auth = "ntlm"
	_, err := pop.Dial(t.Context(), options)
	wantFault(t, err, fault.Config, "ntlm", "apop", "plain")
}

func TestCapabilities(t *testing.T) {
	server := serve(t, popd.Options{Capabilities: []string{
		"SASL CRAM-MD5 xoauth2", "EXPIRE 060", "login-delay 900", "X-ODD stuff", "", "..dots",
	}})
	caps := dial(t, over(server)).Capabilities()
	if strings.Join(caps.SASL, " ") != "PLAIN CRAM-MD5 XOAUTH2" || caps.Expire != "60" ||
		caps.LoginDelay != 15*time.Minute || caps.Implementation != "popd" ||
		!caps.Known || !caps.Top || !caps.UIDL || !caps.RespCodes || !caps.AuthRespCode {
		t.Errorf("capabilities %+v", caps)
	}
}

func TestM12EndlessCapa(t *testing.T) {
	for name, reply := range map[string]string{
		"lines":     "+OK\r\n" + strings.Repeat("X\r\n", 1000) + ".\r\n",
		"long line": "+OK\r\n" + strings.Repeat("X", 2000) + "\r\n.\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, say("CAPA", reply))
			_, err := pop.Dial(t.Context(), over(server))
			wantFault(t, err, fault.Protocol)
		})
	}
}
