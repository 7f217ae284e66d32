package sasl_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/sasl"
	"github.com/popferry/popferry/internal/secret"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decode(t testing.TB, s string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return string(text)
}

func begin(t testing.TB, c sasl.Credentials, mechanism string) *sasl.Dialogue {
	t.Helper()
	d, err := c.Begin(mechanism)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestChoose holds the order of what auto tries.
func TestChoose(t *testing.T) {
	all := append(sasl.Mechanisms(), "NTLM", "GSSAPI")
	password, token := secret.New("pw"), secret.New("ya29")
	for name, test := range map[string]struct {
		c    sasl.Credentials
		want string
	}{
		"password":       {sasl.Credentials{Password: password}, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"},
		"empty password": {sasl.Credentials{}, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"},
		"beyond ASCII":   {sasl.Credentials{Password: secret.New("pässwörd")}, "PLAIN LOGIN"},
		"somebody else": {sasl.Credentials{Password: password, AuthorizeAs: "bob"},
			"SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		"token": {sasl.Credentials{Token: token}, "OAUTHBEARER XOAUTH2"},
		"token and password": {sasl.Credentials{Token: token, Password: password},
			"OAUTHBEARER XOAUTH2 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"},
		"certificate": {sasl.Credentials{Certificate: true}, "EXTERNAL"},
		"certificate and password": {sasl.Credentials{Certificate: true, Password: password},
			"EXTERNAL SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(strings.Fields(test.want), test.c.Choose(all)); diff != "" {
				t.Error(diff)
			}
			if got := test.c.Choose([]string{"NTLM"}); len(got) != 0 {
				t.Errorf("of NTLM it chose %q", got)
			}
		})
	}
}

func TestMechanism(t *testing.T) {
	for word, want := range map[string]bool{
		"plain": true, "scram-sha-256": true, "external": true, "PLAIN": false, "auto": false, "": false, "ntlm": false,
	} {
		if _, ok := sasl.Mechanism(word); ok != want {
			t.Errorf("%q: %v", word, ok)
		}
	}
}

// TestResponses has what goes out, challenge by challenge, from the documents where
// they have an example.
func TestResponses(t *testing.T) {
	tim := sasl.Credentials{Username: "tim", Password: secret.New("tanstaaftanstaaf")}
	user := sasl.Credentials{Username: "user@example.com", Host: "server.example.com", Port: 143,
		Token: secret.New("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")}
	shared := sasl.Credentials{Username: "admin", AuthorizeAs: "a,b=c", Password: secret.New("pw"), Host: "h", Port: 1}
	for name, test := range map[string]struct {
		c         sasl.Credentials
		mechanism string
		steps     [][2]string // challenge, response; the first challenge is none
	}{
		"RFC 4616 §4": {tim, sasl.Plain, [][2]string{{"", "\x00tim\x00tanstaaftanstaaf"}}},
		"authzid":     {shared, sasl.Plain, [][2]string{{"", "a,b=c\x00admin\x00pw"}}},
		"RFC 2195 §2": {tim, sasl.CramMD5, [][2]string{
			{"<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"}}},
		"LOGIN": {tim, sasl.Login, [][2]string{
			{"Username:", "tim"}, {"Password\x00", "tanstaaftanstaaf"}}},
		"RFC 7628 §4.1": {user, sasl.OAuthBearer, [][2]string{{"", "n,a=user@example.com,\x01host=server.example.com" +
			"\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"}}},
		"password as token": {shared, sasl.OAuthBearer,
			[][2]string{{"", "n,a=a=2Cb=3Dc,\x01host=h\x01port=1\x01auth=Bearer pw\x01\x01"}}},
		"XOAUTH2": {user, sasl.XOAuth2, [][2]string{{"", "user=user@example.com\x01" +
			"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"}}},
		"XOAUTH2 of a shared mailbox": {shared, sasl.XOAuth2, [][2]string{{"", "user=a,b=c\x01auth=Bearer pw\x01\x01"}}},
		"EXTERNAL":                    {tim, sasl.External, [][2]string{{"", "tim"}}},
		"EXTERNAL as":                 {shared, sasl.External, [][2]string{{"", "a,b=c"}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, test.c, test.mechanism)
			if d.Accepted() == nil {
				t.Error("accepted before anything was said")
			}
			for _, step := range test.steps {
				line, ok := d.Answer(encode(step[0]))
				if got := decode(t, line); !ok || got != step[1] {
					t.Errorf("to %q: %q, want %q", step[0], got, step[1])
				}
			}
			if err := d.Accepted(); err != nil {
				t.Error(err)
			}
			if line, ok := d.Answer("eHh4"); ok && d.Refused() == "" {
				t.Errorf("answered one challenge too many with %q", line)
			}
		})
	}
}

// TestHints: each names a way out of its own.
func TestHints(t *testing.T) {
	const general = "check the password"
	for _, c := range []struct {
		mechanism string
		chosen    bool
		want      string
	}{
		{sasl.XOAuth2, true, "token"}, {sasl.OAuthBearer, false, "token"}, {sasl.External, false, "tls_cert"},
		{sasl.External, true, "auth: plain"}, {sasl.ScramSHA256, true, general + "; or the server"},
		{sasl.ScramSHA1, false, general}, {sasl.Plain, true, general}, {"USER", true, general},
	} {
		if got := sasl.Hint(sasl.Credentials{}, c.mechanism, c.chosen, general); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q lacks %q", c.mechanism, got, c.want)
		}
		as := sasl.Credentials{AuthorizeAs: "bob"}
		if got := sasl.Hint(as, c.mechanism, c.chosen, general); !strings.Contains(got, c.want) || !strings.Contains(got, "authorize_as") {
			t.Errorf("%s for somebody else: %q", c.mechanism, got)
		}
	}
	for want, c := range map[string]sasl.Credentials{
		"OAuth here": {Token: secret.New("t")}, "EXTERNAL": {Certificate: true}, "authorize_as": {AuthorizeAs: "bob"}, "app password": {},
	} {
		if got := sasl.NoWayHint(c, []string{"NTLM"}); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

// TestOffers names what auto does not take, for whom it is no use to look for another reason.
func TestOffers(t *testing.T) {
	password := sasl.Credentials{Password: secret.New("pw")}
	for _, c := range []struct {
		c             sasl.Credentials
		offered, want string
	}{
		{password, "EXTERNAL CRAM-MD5 APOP", "auth: cram-md5"}, {password, "EXTERNAL APOP", "auth: apop"},
		{password, "EXTERNAL", "tls_cert"}, {password, "XOAUTH2", "oauth in place"}, {password, "NTLM", ""}, {password, "", ""},
		{sasl.Credentials{Token: secret.New("t")}, "CRAM-MD5 XOAUTH2", ""},
		{sasl.Credentials{Certificate: true}, "CRAM-MD5 EXTERNAL", ""},
		{sasl.Credentials{Password: secret.New("pw"), AuthorizeAs: "bob"}, "CRAM-MD5", ""},
	} {
		got := sasl.OfferHint(c.c, strings.Fields(c.offered))
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") || got != "" && !strings.HasPrefix(got, sasl.Offer) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestInitial(t *testing.T) {
	c := sasl.Credentials{Username: "tim", Password: secret.New("pw"), Certificate: true}
	for mechanism, want := range map[string]string{
		sasl.External: encode("tim"), sasl.Plain: encode("\x00tim\x00pw"), sasl.Login: "", sasl.CramMD5: "",
	} {
		d := begin(t, c, mechanism)
		if got, ok := d.Initial(); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", mechanism, got, ok)
		}
	}
	// A server that does not know initial responses asks for it again, once.
	d := begin(t, c, sasl.Plain)
	d.Sent()
	if line, ok := d.Answer(""); !ok || decode(t, line) != "\x00tim\x00pw" {
		t.Errorf("%q, %v", line, ok)
	}
	if line, ok := d.Answer(""); ok || line != "*" {
		t.Errorf("%q, %v", line, ok)
	}
}

// converse has a dialogue with a server of the library's.
func converse(t testing.TB, c sasl.Credentials, mechanism string, change func(step int, challenge string) string,
) *sasl.Dialogue {
	t.Helper()
	hash := map[string]scram.HashGeneratorFcn{sasl.ScramSHA1: scram.SHA1, sasl.ScramSHA256: scram.SHA256}[mechanism]
	keeper, err := hash.NewClient("alice", "open sesame", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := keeper.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	server, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	talk, d := server.NewConversation(), begin(t, c, mechanism)
	line, _ := d.Initial()
	d.Sent()
	for step := 1; step <= 2; step++ {
		challenge, _ := talk.Step(decode(t, line)) // its error is in the challenge
		if change != nil {
			challenge = change(step, challenge)
		}
		var ok bool
		if line, ok = d.Answer(encode(challenge)); !ok {
			return d
		}
	}
	if got := talk.AuthzID(); got != c.AuthorizeAs {
		t.Errorf("logged in as %q, want %q", got, c.AuthorizeAs)
	}
	return d
}

var alice = sasl.Credentials{Username: "alice", Password: secret.New("open sesame")}

func TestScram(t *testing.T) {
	shared := alice
	shared.AuthorizeAs = "bob,=x"
	for _, mechanism := range []string{sasl.ScramSHA1, sasl.ScramSHA256} {
		for _, c := range []sasl.Credentials{alice, shared} {
			d := converse(t, c, mechanism, nil)
			if err := d.Accepted(); err != nil || d.Cancelled() != nil {
				t.Error(mechanism, err, d.Cancelled())
			}
		}
		wrong := alice
		wrong.Password = secret.New("wrong")
		d := converse(t, wrong, mechanism, nil)
		if why := d.Cancelled(); why == nil || why.Code != fault.Credentials || d.Accepted() == nil {
			t.Errorf("%s: %v", mechanism, why)
		}
	}
}

// TestHostileScram: a server gets nothing more after any of these, and is not
// believed when it says OK.
func TestHostileScram(t *testing.T) {
	nonce := func(challenge string) string { first, _, _ := strings.Cut(challenge, ","); return first }
	for name, test := range map[string]struct {
		step   int
		change func(string) string
		code   fault.Code
		text   string
	}{
		"2^31 iterations": {1, func(c string) string { return nonce(c) + ",s=c2FsdA==,i=2147483648" },
			fault.Protocol, "2147483648 iterations"},
		"beyond numbers": {1, func(c string) string { return nonce(c) + ",s=c2FsdA==,i=99999999999999999999" },
			fault.Protocol, "iterations"},
		"one iteration":  {1, func(c string) string { return nonce(c) + ",s=c2FsdA==,i=1" }, fault.Protocol, "1 iterations"},
		"minus":          {1, func(c string) string { return nonce(c) + ",s=c2FsdA==,i=-5000" }, fault.Protocol, "iterations"},
		"no iterations":  {1, func(c string) string { return nonce(c) + ",s=c2FsdA==" }, fault.Credentials, "unusable"},
		"another nonce":  {1, func(string) string { return "r=abc,s=c2FsdA==,i=4096" }, fault.Credentials, "unusable"},
		"an extension":   {1, func(c string) string { return "m=x," + c }, fault.Credentials, "unusable"},
		"nonsense":       {1, func(string) string { return "hello" }, fault.Credentials, "unusable"},
		"no signature":   {2, func(string) string { return "" }, fault.Protocol, "prove"},
		"bad signature":  {2, func(string) string { return "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=" }, fault.Protocol, "prove"},
		"first again":    {2, func(string) string { return "r=abc,s=c2FsdA==,i=4096" }, fault.Protocol, "prove"},
		"wrong password": {2, func(string) string { return "e=invalid-proof" }, fault.Credentials, "invalid-proof"},
		"busy":           {2, func(string) string { return "e=no-resources" }, fault.Temporary, "no-resources"},
		"terminal":       {2, func(string) string { return "e=\x1b[31m" }, fault.Credentials, `x1b`},
	} {
		t.Run(name, func(t *testing.T) {
			d := converse(t, alice, sasl.ScramSHA256, func(step int, challenge string) string {
				if step == test.step {
					return test.change(challenge)
				}
				return challenge
			})
			why := d.Cancelled()
			if why == nil || why.Code != test.code || !strings.Contains(why.Error(), test.text) || why.Hint == "" {
				t.Errorf("%v (%v)", why, fault.CodeOf(why))
			}
			if d.Accepted() == nil {
				t.Error("an OK is believed")
			}
		})
	}
}

func TestScramWithoutProof(t *testing.T) {
	d := begin(t, alice, sasl.ScramSHA256)
	d.Sent()
	if err := d.Accepted(); fault.CodeOf(err) != fault.Protocol || fault.HintOf(err) == "" {
		t.Errorf("an OK right after the user name: %v", err)
	}
}

func TestUnusableChallenges(t *testing.T) {
	for name, test := range map[string]struct{ mechanism, challenge string }{
		"no base64":              {sasl.Plain, "go ahead!"},
		"odd length":             {sasl.Plain, "abc"},
		"unasked":                {sasl.Plain, encode("hello")},
		"CRAM-MD5 of nothing":    {sasl.CramMD5, ""},
		"CRAM-MD5 of binary":     {sasl.CramMD5, encode("<\x80\x01@example.org>")},
		"CRAM-MD5 of two":        {sasl.CramMD5, encode("<a@b><c@d>")},
		"CRAM-MD5 of a megabyte": {sasl.CramMD5, encode("<" + strings.Repeat("a", 1<<20) + "@b>")},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, alice, test.mechanism)
			line, ok := d.Answer(test.challenge)
			why := d.Cancelled()
			if ok || line != "*" || why == nil || why.Code != fault.Credentials || why.Hint == "" {
				t.Errorf("%q, %v, %v", line, ok, why)
			}
			if d.Accepted() == nil {
				t.Error("an OK is believed")
			}
		})
	}
}

// TestEndlessChallenges: no mechanism goes on for ever.
func TestEndlessChallenges(t *testing.T) {
	for _, mechanism := range sasl.Mechanisms() {
		for _, challenge := range []string{"", encode("<a@example.org>"), encode(`{"status":"401"}`)} {
			d, rounds := begin(t, alice, mechanism), 0
			for ; rounds < 20; rounds++ {
				if _, ok := d.Answer(challenge); !ok {
					break
				}
			}
			if rounds > 8 {
				t.Errorf("%s answered %q for ever", mechanism, challenge)
			}
		}
	}
}

// TestBearerRefused: the reason comes as a challenge, is answered so that the server
// can refuse, and shows no token.
func TestBearerRefused(t *testing.T) {
	c := sasl.Credentials{Username: "alice", Token: secret.New("ya29.secret")}
	for name, test := range map[string]struct{ challenge, want string }{
		"Google": {`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`,
			"status 400, scope https://mail.google.com/"},
		"RFC 7628": {`{"status":"invalid_token","openid-configuration":"https://example.org/"}`, "status invalid_token"},
		"a number": {`{"status":401,"scope":""}`, "status 401"},
		"no JSON":  {"what \x1b[31m", `"what \\x1b[31m"`},
		"echo":     {`{"status":"bad ya29.secret` + "\u202e" + `","scope":"` + strings.Repeat("s", 5000) + `"}`, "status bad ***"},
	} {
		for mechanism, answer := range map[string]string{sasl.XOAuth2: "", sasl.OAuthBearer: "\x01"} {
			t.Run(name+"/"+mechanism, func(t *testing.T) {
				d := begin(t, c, mechanism)
				d.Sent()
				line, ok := d.Answer(encode(test.challenge))
				if got := decode(t, line); !ok || got != answer {
					t.Errorf("answered %q", got)
				}
				if got := d.Refused(); !strings.HasPrefix(got, test.want) || len(got) > 600 ||
					strings.Contains(got, "secret") || strings.Contains(got, "\u202e") {
					t.Errorf("says %q", got)
				}
				if d.Accepted() == nil {
					t.Error("an OK after that is believed")
				}
			})
		}
	}
}

func TestWhatCannotBeSent(t *testing.T) {
	for name, c := range map[string]sasl.Credentials{
		"user":      {Username: "a\r\nDELE 1"},
		"mailbox":   {AuthorizeAs: "a\x00b"},
		"password":  {Password: secret.New("a\nb")},
		"token":     {Token: secret.New("a\x01auth=Bearer b")},
		"user in 1": {Username: "a\x01b"},
	} {
		if err := c.Check(); fault.CodeOf(err) != fault.Config || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := alice.Check(); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		c         sasl.Credentials
		mechanism string
	}{
		"CRAM-MD5 for somebody else": {sasl.Credentials{AuthorizeAs: "bob"}, sasl.CramMD5},
		"LOGIN for somebody else":    {sasl.Credentials{AuthorizeAs: "bob"}, sasl.Login},
		"SCRAM with control":         {sasl.Credentials{Username: "a", Password: secret.New("a\x7fb")}, sasl.ScramSHA1},
		"unheard of":                 {alice, "NTLM"},
	} {
		if _, err := test.c.Begin(test.mechanism); fault.CodeOf(err) != fault.Config || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIsMessageID(t *testing.T) {
	for challenge, want := range map[string]bool{
		"<1896.697170952@dbc.mtview.ca.us>": true,
		"<a+b_c=d/e%f@[192.0.2.1]>":         true,
		"":                                  false,
		"<>":                                false,
		"<@>":                               false,
		"<a@>":                              false,
		"<@b>":                              false,
		"<ab>":                              false,
		"a@b":                               false,
		"<a@b":                              false,
		"<a@b@c>":                           false,
		"<a b@c>":                           false,
		"<a\x80@c>":                         false,
		"<a\x00@c>":                         false,
		"<a@b> <c@d>":                       false,
		"<" + strings.Repeat("a", 600) + "@b.cz>": false,
	} {
		if got := sasl.IsMessageID(challenge); got != want {
			t.Errorf("%q: %v", challenge, got)
		}
	}
}

// FuzzAnswer: no challenge makes a panic, an endless line or a shown secret.
func FuzzAnswer(f *testing.F) {
	f.Add("r=abc,s=c2FsdA==,i=4096", "v=abc")
	f.Add("<a@example.org>", "")
	f.Add(`{"status":"401"}`, "e=other-error")
	c := sasl.Credentials{Username: "alice", Password: secret.New("open sesame"), Token: secret.New("ya29.token")}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, mechanism := range sasl.Mechanisms() {
			d := begin(t, c, mechanism)
			d.Sent()
			for _, challenge := range []string{encode(first), second, encode(second)} {
				if _, ok := d.Answer(challenge); !ok {
					break
				}
			}
			if why := d.Cancelled(); why != nil && (why.Hint == "" || len(why.Message) > 2000) {
				t.Errorf("%s: %v", mechanism, why)
			}
		}
	})
}
