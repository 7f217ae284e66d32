package dovecot

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// The master user of [SignIn].
const (
	Master         = "admin"
	MasterPassword = "master-secret"
)

// SignIn offers every way to log in that Dovecot has: by password the mechanisms PLAIN, LOGIN,
// CRAM-MD5, APOP and SCRAM; EXTERNAL for whoever has a certificate of the server's authority with
// the user as its common name; XOAUTH2 and OAUTHBEARER. [Master] may log in as anybody, as the
// user "alice*admin" or with an authorization identity.
type SignIn struct {
	// Introspection is the URL that tells what a token is worth (RFC 7662).
	Introspection string
	// Mechanisms are offered in place of all, as in auth_mechanisms.
	Mechanisms string
}

const allMechanisms = "plain login cram-md5 apop scram-sha-1 scram-sha-256 external xoauth2 oauthbearer"

const signInTemplate = `
auth_mechanisms = {mechanisms}
auth_ssl_username_from_cert = yes
auth_master_user_separator = *
ssl_ca = <{ca}
ssl_verify_client_cert = yes
ssl_require_crl = no
passdb {
  driver = passwd-file
  args = {masters}
  master = yes
}
passdb {
  driver = static
  mechanisms = external
  username_filter = {master}
  args = nopassword=y
  master = yes
}
passdb {
  driver = static
  mechanisms = external
  args = nopassword=y
}
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {oauth2}
}
`

const oauth2Template = `
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
`

// signIn writes the files for the settings and returns these, or nothing.
func (s *Server) signIn() (string, error) {
	if s.options.SignIn == nil {
		return "", nil
	}
	masters, oauth2 := filepath.Join(s.Dir, "masters"), filepath.Join(s.Dir, "oauth2.conf")
	for path, text := range map[string]string{
		masters: Master + ":{PLAIN}" + MasterPassword + "\n",
		oauth2:  strings.ReplaceAll(oauth2Template, "{url}", s.options.SignIn.Introspection),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	text := strings.NewReplacer("{mechanisms}", cmp.Or(s.options.SignIn.Mechanisms, allMechanisms), "{master}", Master, "{ca}", s.Files.CA, "{masters}", masters, "{oauth2}", oauth2).
		Replace(signInTemplate)
	return text, s.runner.give(masters, oauth2)
}
