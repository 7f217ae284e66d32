package plan

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
)

// Defaults of the bridge.
const (
	defaultInterval   = 5 * time.Minute
	defaultAlertAfter = time.Hour
	defaultHistory    = 90 * day
	// leastInterval keeps a typing mistake from hammering servers.
	leastInterval = 10 * time.Second
	mailPort      = 465 // submission over TLS (RFC 8314 §3.3)
)

// Bridge says how accounts are kept carried with nobody looking.
type Bridge struct {
	// Listen is the address of the status page, "host:port"; empty for none.
	Listen string
	// Token lets people see it from other machines.
	Token Value
	// Alerts say who is told what.
	Alerts Alerts
	// Heartbeat is an address that is called after each round in which nothing
	// failed, so that somebody notices when it is not.
	Heartbeat Value
	// History is how long passes are remembered.
	History time.Duration
}

// Pace is how often an account passes.
type Pace struct {
	// Interval is the longest time between two passes, Fastest the shortest, which is
	// kept while mail flows.
	Interval, Fastest time.Duration
	// AlertAfter is how long it may fail before somebody is told.
	AlertAfter time.Duration
}

// TooRare reports whether mail may come and be gone between two passes, where the POP3 server
// removes it after some days by itself (EXPIRE, RFC 2449 §6.7).
func (p Pace) TooRare(days int) bool {
	return days > 0 && p.Interval >= time.Duration(days)*day
}

// Every is the interval in people's words.
func (p Pace) Every() string { return fault.Span(p.Interval) }

// String says it in one line, which changes with it.
func (p Pace) String() string { return fmt.Sprintf("%v %v %v", p.Interval, p.Fastest, p.AlertAfter) }

// Alerts are ways to tell somebody; any of them may be absent.
type Alerts struct {
	// Webhook is an address that gets JSON.
	Webhook Value
	// Command is started with the JSON as its input.
	Command                    []string
	commandLine, commandColumn int
	// Mail is sent by SMTP; nil for none.
	Mail *AlertMail
}

// AlertMail says how a mail is sent.
type AlertMail struct {
	wire.Endpoint
	// Username and Password sign in; no Username sends without.
	Username string
	Password Value
	// From and To are addresses.
	From string
	To   []string
}

// Value is a secret that may be anywhere a password may be; the zero value is none.
type Value struct {
	Password
	// Secret is the value itself, once ResolveBridge has read it.
	Secret secret.Value
}

// Given reports whether there is one.
func (v Value) Given() bool { return v.line > 0 }

var (
	bridgeSpec = &spec{what: "bridge", keys: []string{"interval", "fastest", "alert_after", "listen", "token", "alerts",
		"heartbeat", "history"}}
	paceSpec   = &spec{what: "account's bridge", keys: bridgeSpec.keys[:3]}
	alertsSpec = &spec{what: "alerts", keys: []string{"webhook", "command", "mail"}}
	mailSpec   = &spec{what: "mail", keys: []string{"host", "port", "tls", "tls_ca", "username", "password", "from", "to"}}
)

func (d *decoder) bridge(top fields) Bridge {
	f := top.sub("bridge", bridgeSpec)
	b := Bridge{
		Listen:    f.listen("listen"),
		Token:     f.value("token"),
		Heartbeat: f.address("heartbeat"),
		History:   f.age("history", defaultHistory),
	}
	if b.Listen != "" && !isLoopback(b.Listen) && !b.Token.Given() {
		f.problem(f.find("listen"), "listen", "lets other machines see the page, which takes a token: "+
			"set token, or listen on 127.0.0.1")
	}
	b.Alerts = d.alerts(f.sub("alerts", alertsSpec))
	f.pace() // once, so that what is wrong for all is told of none
	return b
}

// pace reads how often an account passes, over what the file says for all.
func (d *decoder) pace(top, account fields) Pace {
	f := account.sub("bridge", paceSpec)
	f.layers = append(f.layers, top.sub("bridge", bridgeSpec).layers...)
	return f.pace()
}

func (f fields) pace() Pace {
	p := Pace{Interval: f.age("interval", defaultInterval), AlertAfter: f.age("alert_after", defaultAlertAfter)}
	p.Fastest = f.age("fastest", max(p.Interval/5, min(p.Interval, leastInterval)))
	if len(f.layers) > 0 && f.layers[0].values["fastest"] == nil { // what is for all bounds an account's own interval
		p.Fastest = min(p.Fastest, p.Interval)
	}
	switch {
	case p.Interval < leastInterval:
		f.problem(f.find("interval"), "interval", "is less than %s; no server likes that", fault.Span(leastInterval))
	case p.Fastest < leastInterval, p.Fastest > p.Interval:
		f.problem(f.find("fastest"), "fastest", "must be from %s to the interval (%s)", fault.Span(leastInterval), fault.Span(p.Interval))
	}
	return p
}

func (d *decoder) alerts(f fields) Alerts {
	a := Alerts{Webhook: f.address("webhook"), Command: f.command("command", "[/usr/local/bin/page-me]")}
	if node := f.find("command"); node != nil {
		a.commandLine, a.commandColumn = node.Line, node.Column
	}
	if f.find("mail") == nil {
		return a
	}
	m := f.sub("mail", mailSpec)
	mode, _ := m.choice("tls", []string{string(wire.Implicit), string(wire.STARTTLS), string(wire.None)})
	mail := &AlertMail{Endpoint: wire.Endpoint{Host: m.host("host"), TLS: wire.TLSMode(mode),
		CAFile: d.absolute(m.optional("tls_ca"))}, Username: m.optional("username")}
	port := mailPort
	if mail.TLS != wire.Implicit {
		port = 587
	}
	mail.Port = m.number("port", port, 65535)
	if mail.TLS == wire.None && mail.Host != "" && !mail.Loopback() {
		m.problem(m.find("tls"), "tls", "none is for this machine only; use implicit or starttls")
	}
	mail.Password = m.value("password")
	switch {
	case m.find("username") == nil && mail.Password.Given():
		m.problem(m.find("password"), "password", "needs a username: write that too, or leave out both")
	case mail.Username != "" && !mail.Password.Given():
		m.missing("password", passwordForms)
	}
	mail.From = m.sender("from")
	mail.To = m.addresses("to")
	a.Mail = mail
	return a
}

// value reads a secret that may be absent.
func (f fields) value(key string) Value {
	if f.find(key) == nil {
		return Value{}
	}
	return Value{Password: f.password(key, "")}
}

// address reads a URL, which may hold a secret; one that stands in the file is judged
// here, others once they are read.
func (f fields) address(key string) Value {
	v := f.value(key)
	if text := v.inline.Reveal(); text != "" {
		if err := checkURL(text); err != "" {
			f.problem(f.find(key), key, "%s", err)
		}
	}
	return v
}

// sender reads the address that a mail comes from, which SMTP wants bare (RFC 5321 §4.1.1.2).
func (f fields) sender(key string) string {
	text, node := f.required(key, `an address such as "popferry@example.org"`)
	if node != nil && !isAddress(text) {
		f.problem(node, key, `must be a mail address alone, such as "popferry@example.org", with no name`)
	}
	return text
}

// isAddress reports what may stand between the angle brackets of SMTP.
func isAddress(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && at < len(text)-1 && !strings.ContainsAny(text, "\r\n\x00 <>,")
}

// checkURL says why a text is no web address, or "".
func checkURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "must be a web address, such as https://hooks.example.org/popferry"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "must have a port from 1 to 65535, or none"
		}
	}
	if u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80")) {
		return "must be https, except on this machine"
	}
	return ""
}

func (f fields) listen(key string) string {
	text, node := f.text(key)
	if node == nil {
		return ""
	}
	_, port, err := net.SplitHostPort(text)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		f.problem(node, key, `must be an address and a port, such as "127.0.0.1:8325"`)
		return "" // of which nothing more can be said
	}
	return text
}

// isLoopback reports an address that only this machine can reach.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && wire.Endpoint{Host: host}.Loopback()
}

// addresses reads one mail address or a list of them.
func (f fields) addresses(key string) (list []string) {
	node := f.find(key)
	if node == nil {
		f.missing(key, "a mail address, or a list of them")
		return nil
	}
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	if len(nodes) == 0 {
		f.problem(node, key, "must have a mail address, or nobody is told")
	}
	for _, n := range nodes {
		n = resolveAlias(n)
		if n.Kind != yaml.ScalarNode || !isAddress(n.Value) {
			f.problem(n, key, `must be a mail address such as "postmaster@example.org", or a list of them`)
			continue
		}
		list = append(list, n.Value)
	}
	return list
}

// leastToken is how short a token may be that strangers may guess at.
const leastToken = 8

// valueKeys are the keys of the values of the bridge that can be unfit.
var valueKeys = []string{"token", "heartbeat", "alerts.webhook"}

// unfit says why one of the values of the bridge, by its place among them, is no good, or "".
func unfit(place int, text string) string {
	switch {
	case place == 0 && len(strings.TrimSpace(text)) < leastToken:
		return fmt.Sprintf("is too short for a token: use %d characters or more, such as those of \"openssl rand -hex 16\"", leastToken)
	case place == 1 || place == 2:
		return checkURL(text)
	}
	return ""
}

// checkCommand refuses a program that is not there before it is needed.
func (c *Config) checkCommand() *Problem {
	a := c.Bridge.Alerts
	if len(a.Command) == 0 {
		return nil
	}
	if _, err := exec.LookPath(a.Command[0]); err != nil {
		return &Problem{File: c.Path, Line: a.commandLine, Column: a.commandColumn, Code: fault.Config,
			Text: fmt.Sprintf("bridge.alerts.command %q can't be started: %v; check its path, and that this user may execute it",
				fault.Escape(a.Command[0]), reason(err))}
	}
	return nil
}

// ResolveBridge reads the secrets of the bridge itself. Errors are as of [Config.Resolve].
func (c *Config) ResolveBridge(ctx context.Context) error {
	values := []*Value{&c.Bridge.Token, &c.Bridge.Heartbeat, &c.Bridge.Alerts.Webhook}
	if m := c.Bridge.Alerts.Mail; m != nil {
		values = append(values, &m.Password)
	}
	var problems collector
	if problem := c.checkCommand(); problem != nil {
		problems.add(problem)
	}
	dir := newDecoder(c.Path).dir
	for i, v := range values {
		if !v.Given() {
			continue
		}
		text, err := v.read(ctx, dir)
		if err != nil {
			problems.add(unresolved(c.Path, "", v.Password, err))
			continue
		}
		if why := unfit(i, text); why != "" {
			problems.add(&Problem{File: c.Path, Line: v.line, Column: v.column, Code: fault.Config,
				Text: fmt.Sprintf("bridge.%s, %v, %s", valueKeys[i], v.Password, why)})
		}
		v.Secret = secret.New(text)
	}
	return problems.err()
}
