package plan

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/program"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/sheet"
)

const (
	// maxSecret bounds a password, and what a password command may print.
	maxSecret = 64 << 10
	// commandTime bounds a password command.
	commandTime = 30 * time.Second
	// commandsAtOnce runs password commands side by side: hundreds of accounts
	// would else wait for one vault after the other.
	commandsAtOnce = 4
)

// Resolve reads the passwords and the other secrets of the named accounts, of all for
// no names. What is missing is one [*Errors] with code Config; Credentials if all that
// is wrong is that others can read a file with a secret; Temporary if it is that programs
// failed, as a vault that can't be reached has them do. An unknown name is a fault with
// code Usage, a cancelled ctx one with code Temporary.
func (c *Config) Resolve(ctx context.Context, names []string) error {
	return c.resolve(ctx, names, (*Account).secrets)
}

// ResolveOAuth is Resolve for what is needed to get tokens: it asks for no password.
func (c *Config) ResolveOAuth(ctx context.Context, names []string) error {
	return c.resolve(ctx, names, func(a *Account) []wanted {
		return append(a.Source.OAuth.secrets(a.Name), a.Destination.OAuth.secrets(a.Name)...)
	})
}

func (c *Config) resolve(ctx context.Context, names []string, needed func(*Account) []wanted) error {
	accounts, err := c.Select(names)
	if err != nil {
		return err
	}
	var all []wanted
	for _, account := range accounts {
		all = append(all, needed(account)...)
	}
	failures := readAll(ctx, newDecoder(c.Path).dir, all)
	if err := ctx.Err(); err != nil {
		return fault.Stopped("read passwords: %w", err)
	}
	var problems collector
	for i, err := range failures {
		if err == nil && all[i].then != nil {
			err = all[i].then()
		}
		if err != nil {
			problems.add(unresolved(c.Path, all[i].account, all[i].password, err))
		}
	}
	return problems.err()
}

// wanted is a secret of an account, where it goes, and what is to be done then.
type wanted struct {
	account  string
	password Password
	into     *secret.Value
	then     func() error
}

func (a *Account) secrets() (list []wanted) {
	add := func(p Password, into *secret.Value, then func() error) {
		if p.line > 0 {
			list = append(list, wanted{a.Name, p, into, then})
		}
	}
	for _, e := range []*Endpoint{&a.Source, &a.Destination} {
		add(e.Password, &e.Secret, nil)
		add(e.KeyFile, &e.key, func() error { return e.loadCertificate(time.Now()) })
		if e.Proxy != nil {
			add(e.ProxyPassword, &e.Proxy.Password, nil)
		}
		list = append(list, e.OAuth.secrets(a.Name)...)
	}
	return list
}

// foretell notes what is wrong with passwords as far as it can be seen without
// doing anything: no program is started, no keyring unlocked and no pipe emptied,
// for a file that has to be mended first.
func (c *Config) foretell(names []string, problems *collector) {
	for _, a := range c.Accounts {
		if len(names) > 0 && !slices.Contains(names, a.Name) {
			continue
		}
		for _, w := range a.secrets() {
			p := w.password
			if p.asks() || p.isPipe() {
				continue
			}
			if _, err := p.look(); err != nil {
				problems.add(unresolved(c.Path, a.Name, p, err))
			}
		}
	}
}

// asks reports whether another program gives the password.
func (p Password) asks() bool { return len(p.command) > 0 || p.keyring.service != "" }

func (p Password) isPipe() bool {
	info, err := os.Stat(p.file)
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}

// readAll reads each secret, some at a time, and returns what is wrong with each.
func readAll(ctx context.Context, dir string, all []wanted) []error {
	failures := make([]error, len(all))
	slots := make(chan struct{}, commandsAtOnce)
	answers := map[string]func() (string, error){}
	var work sync.WaitGroup
	for i, w := range all {
		read := func() (string, error) { return w.password.read(ctx, dir) }
		if w.password.asks() { // one question for the secret of an application, not hundreds
			question := fmt.Sprintf("%q %q", w.password.command, w.password.keyring)
			if answers[question] == nil {
				answers[question] = sync.OnceValues(read)
			}
			read = answers[question]
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			text, err := read()
			if failures[i] = err; err == nil {
				*w.into = secret.New(text)
			}
		})
	}
	work.Wait()
	return failures
}

func unresolved(path, account string, p Password, err error) *Problem {
	code := fault.CodeOf(err)
	if code != fault.Credentials && code != fault.Temporary {
		code = fault.Config
	}
	problem := &Problem{File: cmp.Or(p.path, path), Line: p.line, Column: p.column, Code: code, Text: err.Error()}
	switch {
	case p.base:
		problem.Account = "defaults"
	case account != "": // its name may be what is wrong
		problem.Account = `account "` + fault.Escape(account) + `"`
	}
	return problem
}

// read returns the password. Its errors name the place, never the contents.
func (p Password) read(ctx context.Context, dir string) (string, error) {
	get := p.askKeyring
	switch {
	case !p.asks():
		return p.look()
	case len(p.command) > 0:
		get = func(ctx context.Context) (string, error) { return p.run(ctx, dir) }
	}
	text, err := get(ctx)
	if err != nil {
		return "", err
	}
	return p.check(chomp(text))
}

// look is read for a password that no other program gives.
func (p Password) look() (string, error) {
	switch {
	case p.env != "":
		text, ok := os.LookupEnv(p.env)
		if !ok {
			return "", fmt.Errorf("%s is not set; export it where popferry is run", p)
		}
		return p.check(text)
	case p.file != "":
		return p.readChecked(p.file, "a relative path counts from the folder of accounts.yaml")
	case p.credential != "":
		return p.readCredential()
	}
	return p.inline.Reveal(), nil
}

// check refuses what no server takes, or what is more than a password.
func (p Password) check(text string) (string, error) {
	switch {
	case text == "":
		return "", fmt.Errorf("%s gives an empty password; it must give the password alone", p)
	case sheet.IsUTF16([]byte(text)):
		return "", fmt.Errorf("%s gives UTF-16, as PowerShell's > writes it; save it as UTF-8 (Set-Content -Encoding utf8)", p)
	case !p.whole && strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%s gives more than one line; it must give the password alone", p)
	case len(text) > maxSecret:
		return "", fmt.Errorf("%s gives more than %d bytes; it must give the password alone", p, maxSecret)
	}
	return text, nil
}

// chomp takes off exactly one line end: further ones are not ours to judge.
func chomp(text string) string {
	if text, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(text, "\r")
	}
	return text
}

// readCredential reads what systemd passes to a unit (systemd.exec(5), CREDENTIALS).
func (p Password) readCredential() (string, error) {
	remedy := fmt.Sprintf("write LoadCredential=%s:/path/of/the/password into the [Service] section "+
		"of popferry's systemd unit", p.credential)
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("%s was not passed on, since CREDENTIALS_DIRECTORY is not set; %s", p, remedy)
	}
	return p.readChecked(filepath.Join(dir, p.credential), remedy)
}

func (p Password) readChecked(path, remedy string) (string, error) {
	text, err := p.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s does not exist; %s", p, remedy)
	}
	if err != nil {
		return "", err
	}
	// Editors on Windows begin a file with a byte order mark, which nobody sees.
	return p.check(chomp(strings.TrimPrefix(text, "\ufeff")))
}

func (p Password) readFile(path string) (string, error) {
	file, err := openPrompt(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", fmt.Errorf("%s cannot be read: %s; the user who runs popferry must be able to", p, reason(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %s; the user who runs popferry must be able to", p, reason(err))
	}
	if why := loose(path, info); why != "" && !(p.credential != "" && granted(info)) {
		return "", fault.New(fault.Credentials, "%s %s", p, why).
			WithHint("only the user who runs popferry may read it")
	}
	// A pipe may stay silent; a regular file takes no deadline and needs none.
	if err := file.SetReadDeadline(time.Now().Add(commandTime)); err != nil &&
		!errors.Is(err, os.ErrNoDeadline) {
		return "", fmt.Errorf("%s cannot be read: %s; the user who runs popferry must be able to", p, reason(err))
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+6)) // byte order mark, CR LF, and one too many
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %s; the user who runs popferry must be able to", p, reason(err))
	}
	return string(data), nil
}

// run starts the password command in the folder of accounts.yaml, with no shell
// and no input. What it prints to its error output explains a failure; what it
// prints to its output is never shown.
func (p Password) run(parent context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(parent, commandTime)
	defer cancel()
	out, talk := &capped{limit: maxSecret + 2}, &capped{limit: maxSecret}
	command := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	command.Dir = dir
	command.Stdout, command.Stderr = out, talk
	if !program.AtTerminal() { // where a person can be asked, who can also end all by ^C
		program.InGroup(command)
	}
	// A grandchild may keep the pipes open after its parent ended.
	command.WaitDelay = time.Second
	err := command.Run()
	var failed *exec.ExitError
	switch {
	case err == nil && !out.over:
		return out.data.String(), nil
	case out.over:
		return "", fmt.Errorf("%s printed more than %d bytes; it must print the password alone", p, maxSecret)
	case parent.Err() == nil && ctx.Err() != nil:
		return "", notNow("%s did not end within %s%s; it must not ask questions", p, fault.Span(commandTime), said(talk, out))
	case errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("%s ended and left a program at work that holds its output open%s; that one must write "+
			"elsewhere (>/dev/null 2>&1)", p, said(talk, out))
	case errors.As(err, &failed):
		return "", notNow("%s failed: %s%s; it must work in the folder of accounts.yaml, with no input",
			p, reason(err), said(talk, out))
	}
	return "", fmt.Errorf("%s failed: %s%s; it must work in the folder of accounts.yaml, with no input",
		p, reason(err), said(talk, out))
}

// notNow makes the error of a program that was there and did its best: what it asks may
// answer later.
func notNow(format string, args ...any) error {
	return fault.New(fault.Temporary, format, args...).WithHint("run it again once the program works")
}

// said quotes the start of a command's error output, without what it printed to its
// output: all of it or its first line is the password, which programs repeat when
// they are traced (sh -x).
func said(talk, out *capped) string {
	text, password := talk.data.String(), chomp(out.data.String())
	if talk.over { // the end may be the start of a password
		text = text[:max(0, len(text)-len(password))]
	}
	first, _, _ := strings.Cut(password, "\n")
	for _, hidden := range []string{password, strings.TrimSuffix(first, "\r")} {
		text = secret.New(hidden).Hide(text, "")
	}
	if text := strings.TrimSpace(text); text != "" {
		return "; it said: " + fault.Escape(text)
	}
	return ""
}

// capped keeps the first octets of what is written to it and takes the rest
// without keeping it, so that the writer isn't held up.
type capped struct {
	data  bytes.Buffer
	limit int
	over  bool
}

func (c *capped) Write(p []byte) (int, error) {
	room := min(len(p), c.limit-c.data.Len())
	c.over = c.over || room < len(p)
	c.data.Write(p[:room])
	return len(p), nil
}
