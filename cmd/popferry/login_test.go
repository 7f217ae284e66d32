package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/corpus"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/oauthd"
	"github.com/popferry/popferry/internal/mailtest/popd"
)

// modern starts an OAuth provider and mail servers that take nothing but its tokens, and
// writes an accounts.yaml for them: "modern 20" has 20 messages, "modern 20 access_denied"
// a person who declines. A service account's key is in key.json.
func modern(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	keys, err := certs.New(certs.Options{})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), keys.CAPEM, 0o600))
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("ca.pem"))
	const email = "robot@project.example"
	file, public, err := oauthd.NewKey(email)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("key.json"), file, 0o600))
	provider := oauthd.New("", oauthd.Options{Users: []string{"alice"}, ClientID: "app", ClientSecret: password,
		Scopes: []string{"mail"}, Interval: time.Second, Rotate: true, Deny: strings.Join(args[1:], " "),
		Email: email, Key: public})
	ts.Check(provider.Listen(keys.Server()))
	ts.Defer(provider.Close)
	ts.Setenv("PROVIDER", provider.URL)
	good := func(user, token string) bool {
		owner, ok := provider.User(token)
		return ok && owner == user
	}
	var mail [][]byte
	for _, m := range corpus.Ordinary(n, 7) {
		mail = append(mail, m.Raw)
	}
	pop := popd.New(popd.Options{Token: good, Mode: popd.Implicit, TLS: keys.Server()}, mail...)
	popAddress, err := pop.Listen()
	ts.Check(err)
	imap := imapd.New(imapd.Options{Token: good, Mode: imapd.Implicit, TLS: keys.Server()})
	imapAddress, err := imap.Listen()
	ts.Check(err)
	ts.Defer(func() { pop.Close(); imap.Close() })
	ts.Check(os.WriteFile(ts.MkAbs("accounts.yaml"), fmt.Appendf(nil, `
defaults:
  source: {host: 127.0.0.1, port: %d, tls_ca: ca.pem, oauth: &oauth {flow: device, client_id: app,
    client_secret: {env: PASSWORD}, scopes: [mail], device_url: %s/device, token_url: %[2]s/token}}
  destination: {host: 127.0.0.1, port: %[3]d, tls_ca: ca.pem, oauth: *oauth}
accounts:
  - source: {username: alice}
    destination: {username: alice}
`, popAddress.Port, provider.URL, imapAddress.Port), 0o644))
}
