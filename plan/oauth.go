package plan

import (
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// Flow is a way to get tokens.
type Flow string

const (
	// DeviceFlow shows a code that a person enters in any browser (RFC 8628).
	DeviceFlow Flow = "device"
	// BrowserFlow sends a browser on this machine to the provider and back (RFC 8252).
	BrowserFlow Flow = "browser"
	// ClientCredentials lets the application speak for itself (RFC 6749 §4.4).
	ClientCredentials Flow = "client-credentials"
	// ServiceAccount signs for a mailbox with a key that a domain trusts (RFC 7523).
	ServiceAccount Flow = "service-account"
)

var flows = []string{string(DeviceFlow), string(BrowserFlow), string(ClientCredentials), string(ServiceAccount)}

// Interactive reports whether a person has to sign in once, with popferry login.
func (f Flow) Interactive() bool { return f == DeviceFlow || f == BrowserFlow }

// The providers whose addresses and scopes are known.
const (
	Microsoft = "microsoft"
	Google    = "google"
)

// clientPlaceholder is what popferry init writes where the id of an application belongs,
// which only the user can know. A config that still has it is refused.
const clientPlaceholder = "YOUR-APPLICATION-ID"

// OAuth says how an endpoint gets tokens (RFC 6749). All that the provider
// determines is filled in.
type OAuth struct {
	// Provider is Microsoft, Google, or empty.
	Provider string
	Flow     Flow
	// ClientID names the application; empty for a service account.
	ClientID string
	// ClientSecret says where the application's secret is, if it has one, and Secret
	// is the secret itself, once Resolve has read it.
	ClientSecret Password
	Secret       secret.Value
	// KeyFile says where the key of a service account is; Key is what it holds, once
	// Resolve has read it.
	KeyFile Password
	Key     secret.Value
	// Scopes are what is asked for.
	Scopes []string
	// AuthURL is where a browser is sent, TokenURL where tokens come from, DeviceURL
	// where codes come from; those that the flow does not use are empty.
	AuthURL, TokenURL, DeviceURL string
	// Store is where the refresh token is kept: "file" or "keyring".
	Store string
}

// secrets are what is needed to get tokens; nil needs none.
func (o *OAuth) secrets(account string) (list []wanted) {
	if o == nil {
		return nil
	}
	for _, w := range []wanted{
		{account: account, password: o.ClientSecret, into: &o.Secret},
		{account: account, password: o.KeyFile, into: &o.Key},
	} {
		if w.password.line > 0 {
			list = append(list, w)
		}
	}
	return list
}

var oauthSpec = &spec{what: "oauth", keys: []string{"provider", "client_id", "client_secret", "tenant", "flow",
	"scopes", "auth_url", "token_url", "device_url", "key_file", "store"}}

// tokens reads how to get tokens, if that is how to log in: what stands nearer to the
// account counts, oauth or password.
func (f fields) tokens(e *Endpoint, s side) bool {
	for _, layer := range f.layers {
		password, oauth := layer.values["password"], layer.values["oauth"]
		switch {
		case password != nil && oauth != nil:
			f.problem(oauth, "oauth", "stands beside password; remove one of the two")
			return true
		case oauth != nil:
			e.OAuth = f.oauth(s, *e)
			return true
		case password != nil:
			return false
		}
	}
	return false
}

// bearers are the logins that show a token.
var bearers = []string{"auto", "xoauth2", "oauthbearer"}

func (f fields) oauth(s side, e Endpoint) *OAuth {
	if node := f.find("auth"); node != nil && !slices.Contains(bearers, node.Value) {
		f.problem(node, "auth", "shows no token; with oauth it must be %s", orList(bearers))
	}
	in := oauthFields{fields: f.sub("oauth", oauthSpec)}
	if f.layers[0].values["oauth"] != nil {
		in.own = in.layers[0]
	}
	o := in.decode()
	if !f.d.draft && in.understood("provider", []string{Microsoft, Google}) && in.understood("flow", flows) {
		in.complete(o, s)
	}
	return o
}

// oauthFields are the fields of one oauth mapping.
type oauthFields struct {
	fields
	own    *mapping // what stands in the account itself, or nil
	tenant string
}

func (f *oauthFields) decode() *OAuth {
	o := &OAuth{}
	if f.find("provider") != nil {
		o.Provider, _ = f.choice("provider", []string{Microsoft, Google})
	}
	o.Flow = f.defaultFlow(o.Provider)
	if f.find("flow") != nil {
		flow, _ := f.choice("flow", flows)
		o.Flow = Flow(flow)
	}
	if o.ClientID = f.optional("client_id"); o.ClientID == clientPlaceholder {
		f.problem(f.find("client_id"), "client_id", "is a placeholder; put the id of an application "+
			"there that is registered with the provider")
	}
	if f.find("client_secret") != nil {
		o.ClientSecret = f.password("client_secret", o.ClientID)
	}
	if text, node := f.text("key_file"); node != nil {
		o.KeyFile = Password{file: f.d.absolute(text), whole: true, path: f.d.fileOf(node),
			line: node.Line, column: node.Column, base: f.d.fromDefaults(node)}
	}
	o.Scopes = f.scopes("scopes")
	o.AuthURL, o.TokenURL, o.DeviceURL = f.url("auth_url"), f.url("token_url"), f.url("device_url")
	o.Store, _ = f.choice("store", []string{"file", "keyring"})
	f.tenant = f.tenantName("tenant")
	return o
}

// understood reports whether a key that decides about others is right.
func (f *oauthFields) understood(key string, allowed []string) bool {
	node := f.find(key)
	return !f.guessed(key) && (node == nil || slices.Contains(allowed, node.Value))
}

func (f *oauthFields) defaultFlow(provider string) Flow {
	if provider == Google || provider == "" && f.find("device_url") == nil {
		return BrowserFlow
	}
	return DeviceFlow
}

// complete checks that all is there that the flow needs, and nothing that it does not
// use, and fills in what the provider determines.
func (f *oauthFields) complete(o *OAuth, s side) {
	f.checkFlow(*o)
	f.fill(o, s)
	for _, need := range f.needs(*o) {
		if need.here && f.find(need.key) == nil {
			f.missing(need.key, need.wanted)
		}
		if node := f.ownValue(need.key); node != nil && !need.allowed {
			f.problem(node, need.key, "has no effect with %s; remove it", f.setting(*o))
		}
	}
	o.forget()
}

// forget takes out what defaults say for other flows.
func (o *OAuth) forget() {
	if o.Flow != BrowserFlow {
		o.AuthURL = ""
	}
	if o.Flow != DeviceFlow {
		o.DeviceURL = ""
	}
	if o.Flow != ServiceAccount {
		o.KeyFile = Password{}
		return
	}
	o.ClientID, o.ClientSecret = "", Password{}
}

func (f *oauthFields) ownValue(key string) *yaml.Node {
	if f.own == nil {
		return nil
	}
	return f.own.values[key]
}

func (f *oauthFields) setting(o OAuth) string {
	if o.Provider == "" {
		return "flow: " + string(o.Flow)
	}
	return "provider: " + o.Provider + " and flow: " + string(o.Flow)
}

// checkFlow refuses the flows that a provider does not have.
func (f *oauthFields) checkFlow(o OAuth) {
	at := f.find("flow")
	switch {
	case o.Provider == Google && o.Flow == DeviceFlow:
		f.problem(at, "flow", "device gives no access to mail at Google; it must be browser, "+
			"or service-account for a domain of yours")
	case o.Provider == Google && o.Flow == ClientCredentials:
		f.problem(at, "flow", "client-credentials does not exist at Google; it must be service-account or browser")
	case o.Provider == Microsoft && o.Flow == ServiceAccount:
		f.problem(at, "flow", "service-account does not exist at Microsoft; "+
			"client-credentials is what lets an application read all mailboxes of a tenant")
	}
}

// need is a key that some flows need or use and others do not.
type need struct {
	key           string
	here, allowed bool
	wanted        string
}

func (f *oauthFields) needs(o OAuth) []need {
	signs, custom := o.Flow == ServiceAccount, o.Provider == ""
	app := o.Flow == ClientCredentials
	secret := app || o.Provider == Google && !signs
	return []need{
		{"client_id", !signs, !signs, "the ID of the application that you registered at the provider"},
		{"client_secret", secret, !signs, "the secret of the application: " + passwordForms},
		{"tenant", app && o.Provider == Microsoft && o.TokenURL == "", o.Provider == Microsoft,
			"the tenant's domain or ID, since an application speaks for one tenant"},
		{"key_file", signs, signs, "the service account's key, the JSON file that Google gave"},
		{"auth_url", custom && o.Flow == BrowserFlow, o.Flow == BrowserFlow, "the provider's authorization endpoint"},
		{"device_url", custom && o.Flow == DeviceFlow, o.Flow == DeviceFlow, "the provider's device authorization endpoint"},
		{"token_url", custom, true, "the provider's token endpoint; or say provider: microsoft or google"},
		{"scopes", custom, true, "a list of what to ask for, such as [mail, offline_access]; the provider's manual has it"},
		{"store", false, o.Flow.Interactive(), ""},
	}
}

// fill sets what the provider determines and the file does not say.
func (f *oauthFields) fill(o *OAuth, s side) {
	var auth, token, device string
	var scopes []string
	switch o.Provider {
	case Microsoft:
		tenant := f.tenant
		if tenant == "" && o.Flow != ClientCredentials {
			tenant = "common"
		}
		if tenant != "" {
			base := "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/"
			auth, token, device = base+"authorize", base+"token", base+"devicecode"
		}
		scopes = []string{"https://outlook.office.com/" + s.oauthName + ".AccessAsUser.All", "offline_access"}
		if o.Flow == ClientCredentials {
			scopes = []string{"https://outlook.office365.com/.default"}
		}
	case Google:
		auth, token = "https://accounts.google.com/o/oauth2/v2/auth", "https://oauth2.googleapis.com/token"
		scopes = []string{"https://mail.google.com/"}
		if o.Flow == ServiceAccount && s.oauthName == "IMAP" {
			// It sees all labels, whatever the user's settings for IMAP are.
			scopes = []string{"https://www.googleapis.com/auth/gmail.imap_admin"}
		}
	}
	for _, field := range []struct {
		value    *string
		fallback string
	}{{&o.AuthURL, auth}, {&o.TokenURL, token}, {&o.DeviceURL, device}} {
		if *field.value == "" {
			*field.value = field.fallback
		}
	}
	if o.Scopes == nil {
		o.Scopes = scopes
	}
}

// scopes reads a list of scopes (RFC 6749 §3.3: printable, and no blank in one).
func (f *oauthFields) scopes(key string) []string {
	node := f.find(key)
	if node == nil {
		return nil
	}
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 || len(node.Content) > maxArguments {
		f.problem(node, key, "must be a list such as [mail, offline_access]")
		return nil
	}
	list := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		item = resolveAlias(item)
		if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" || item.Value == "" ||
			len(item.Value) > maxText || strings.ContainsFunc(item.Value, notScopeRune) {
			f.problem(item, key, "takes texts without blanks; each scope is an item of its own")
			continue
		}
		list = append(list, item.Value)
	}
	return list
}

func notScopeRune(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// url reads an address that secrets go to: over TLS, except on this machine.
func (f *oauthFields) url(key string) string {
	text, node := f.text(key)
	if node == nil {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		f.problem(node, key, "must be an address such as https://login.example.org/token")
	case u.Scheme == "https", u.Scheme == "http" && (wire.Endpoint{Host: u.Hostname()}).Loopback():
		return text
	default:
		f.problem(node, key, "must begin with https://, since secrets go there")
	}
	return ""
}

// tenantName reads what becomes a part of an address.
func (f *oauthFields) tenantName(key string) string {
	text, node := f.text(key)
	if node != nil && strings.ContainsFunc(text, notTenantRune) {
		f.problem(node, key, "must be a domain such as contoso.example, or the tenant's ID")
		return ""
	}
	return text
}

func notTenantRune(r rune) bool { return r != '.' && notHostRune(r) && (r < 'A' || r > 'Z') }
