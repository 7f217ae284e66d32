package plan

import (
	"net/netip"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/wire"
)

// network reads the way to the server.
func (f fields) network(e *Endpoint) {
	e.Proxy = f.proxy("proxy")
	e.SourceAddress = f.sourceAddress("source_address")
	if e.Proxy != nil && e.Proxy.Username != "" {
		e.ProxyPassword = f.password("proxy_password", e.Proxy.Username)
		return
	}
	unread := e.Proxy == nil && f.find("proxy") != nil // and so is the user name
	// One in defaults may be for the proxy of others.
	if node := f.layers[0].values["proxy_password"]; node != nil && !f.d.draft && !f.guessed("proxy") && !unread {
		f.problem(node, "proxy_password", "has no effect without a user name in proxy: socks5://user@host:port")
	}
}

func (f fields) proxy(key string) *wire.Proxy {
	text, node := f.text(key)
	if node == nil {
		return nil
	}
	proxy, err := wire.ParseProxy(text)
	if err != nil {
		f.problem(node, key, "%v", err)
	}
	return proxy
}

func (f fields) sourceAddress(key string) netip.Addr {
	text, node := f.text(key)
	if node == nil {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		f.problem(node, key, "must be an IP address of this machine, such as 192.0.2.7")
	}
	return address
}

// certificate reads what to log in with in TLS.
func (f fields) certificate(e *Endpoint) {
	cert, certAt := f.text("tls_cert")
	key, keyAt := f.text("tls_key")
	switch {
	case certAt != nil && f.find("tls_key") == nil:
		f.missing("tls_key", "the file with the private key of tls_cert")
	case keyAt != nil && f.find("tls_cert") == nil:
		f.missing("tls_cert", "the file with the certificate of tls_key")
	}
	if certAt == nil || keyAt == nil {
		return
	}
	e.CertFile = f.d.absolute(cert)
	e.KeyFile = Password{file: f.d.absolute(key), whole: true, path: f.d.fileOf(keyAt),
		line: keyAt.Line, column: keyAt.Column, base: f.d.fromDefaults(keyAt)}
}

// credentials reads who logs in, and how.
func (f fields) credentials(e *Endpoint, s side) {
	e.Username, _ = f.required("username", "the name to log in with")
	e.Auth = f.auth(s)
	e.AuthorizeAs = f.authorizeAs("authorize_as", e.Auth)
	f.certificate(e)
	f.checkExternal(e)
	if f.tokens(e, s) {
		return
	}
	byCertificate := e.CertFile != "" && (e.Auth == "auto" || e.Auth == external)
	switch {
	case f.find("password") != nil:
		e.Password = f.password("password", e.Username)
	case !byCertificate:
		f.missing("password", passwordForms+"; or use oauth")
	}
}

// checkExternal refuses a login by certificate where there is none to show.
func (f fields) checkExternal(e *Endpoint) {
	node := f.find("auth")
	if e.Auth != external || f.d.draft {
		return
	}
	switch {
	case e.TLS == wire.None:
		f.problem(node, "auth", "external needs TLS; use tls: implicit or starttls")
	case f.find("tls_cert") == nil && !f.guessed("tls_cert"):
		f.problem(node, "auth", "external needs tls_cert and tls_key, the certificate to log in with")
	}
}

// idle notes settings that have no effect without TLS.
func (f fields) idle(keys ...string) {
	for _, key := range keys {
		if node := f.layers[0].values[key]; node != nil && f.layers[0].values["tls"] != nil {
			f.problem(node, key, "has no effect with tls: none; remove one of the two")
		}
	}
}

// checkPlaintext refuses to send a password over a network in clear text, and
// TLS settings that would have no effect.
func (f fields) checkPlaintext(e Endpoint, modeAt *yaml.Node) {
	if e.TLS != wire.None || f.d.draft {
		return
	}
	if e.Host != "" && !e.StaysHere() && !e.AllowPlaintext {
		f.problem(modeAt, "tls", "none would send the password to the host in clear text; "+
			"use implicit or starttls, or say allow_plaintext: true")
	}
	f.idle("tls_ca", "tls_pin", "tls_cert", "tls_key")
}
