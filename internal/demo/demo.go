package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/certs"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// account is the only account of a demonstration.
const account = "alice"

// Options say how large the demonstration is.
type Options struct {
	// Messages is how many ordinary messages there are; the hard ones come on
	// top.
	Messages int
	// Observe gets the events of the runs; nil means nobody looks.
	Observe func(ferry.Event)
}

// Demo is a running demonstration.
type Demo struct {
	options  Options
	dir      string
	keys     *certs.Pair
	password string
	mail     sample
	pop      *popd.Server
	imap     *imapServer
	yaml     string
	config   *plan.Config
}

// Start starts both servers and fills the maildrop. [Demo.Close] ends it.
func Start(ctx context.Context, o Options) (*Demo, error) {
	d := &Demo{options: o, password: rand.Text()[:12], mail: newSample(o.Messages)}
	if err := d.start(ctx); err != nil {
		return nil, fault.New(fault.State, "start the demo: %w", errors.Join(err, d.Close())).
			WithHint("check that programs may listen on 127.0.0.1, and that %s may be written to", os.TempDir())
	}
	return d, nil
}

func (d *Demo) start(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "popferry-demo-"); err != nil {
		return err
	}
	if d.keys, err = certs.New(certs.Options{}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, caFile), d.keys.CAPEM, 0o600); err != nil {
		return err
	}
	d.pop = popd.New(popd.Options{Username: account, Password: d.password,
		Mode: popd.Implicit, TLS: d.keys.Server()}, d.mail.raw()...)
	popAddress, err := d.pop.Listen()
	if err != nil {
		return err
	}
	if d.imap, err = startIMAP(d.keys.Server(), account, d.password); err != nil {
		return err
	}
	d.yaml = d.writeYAML(popAddress.Port, d.imap.port)
	if d.config, err = plan.Parse(filepath.Join(d.dir, "accounts.yaml"), []byte(d.yaml)); err != nil {
		return err
	}
	if err := os.Setenv(passwordVariable, d.password); err != nil {
		return err
	}
	defer os.Unsetenv(passwordVariable)
	return d.config.Resolve(ctx, nil)
}

// What accounts.yaml refers to: where the passwords are, and whom to trust.
const (
	passwordVariable = "DEMO_PASSWORD"
	caFile           = "ca.pem"
)

func (d *Demo) writeYAML(popPort, imapPort int) string {
	return fmt.Sprintf(`accounts:
  - name: %s
    source:
      host: 127.0.0.1
      port: %d
      username: %[1]s
      password: {env: %[4]s}
      tls_ca: %[5]s
    destination:
      host: 127.0.0.1
      port: %[3]d
      username: %[1]s
      password: {env: %[4]s}
      tls_ca: %[5]s
`, account, popPort, imapPort, passwordVariable, caFile)
}

// YAML is the accounts.yaml of the demonstration.
func (d *Demo) YAML() string { return d.yaml }

// Messages is how many messages the maildrop holds, Octets their size.
func (d *Demo) Messages() int { return len(d.mail.messages) }

// Octets is the size of the maildrop.
func (d *Demo) Octets() int64 { return d.mail.octets() }

// Hard is how many of the messages are hard ones.
func (d *Demo) Hard() int { return d.mail.hard }

// LeftOut is how many hard messages the IMAP server could not show again.
func (d *Demo) LeftOut() int { return d.mail.leftOut }

// Ferry makes a run. The second one finds the journal of the first.
func (d *Demo) Ferry(ctx context.Context) (ferry.Report, error) {
	j, err := journal.Open(filepath.Join(d.dir, "state"))
	if err != nil {
		return ferry.Report{}, err
	}
	r := ferry.Run(ctx, ferry.Options{Config: d.config, Journal: j, Spool: d.dir, Observe: d.options.Observe})
	return r, j.Close()
}

// Access says how a mail program reaches the IMAP server.
type Access struct {
	Host     string
	Port     int
	Username string
	Password string
	// Fingerprint is the SHA-256 of the certificate, in the form in which mail
	// programs show it.
	Fingerprint string
}

// IMAP says how to look at the IMAP side.
func (d *Demo) IMAP() Access {
	return Access{Host: "127.0.0.1", Port: d.imap.port, Username: account, Password: d.password,
		Fingerprint: fingerprint(d.keys)}
}

// Close ends the servers and removes all that was written.
func (d *Demo) Close() error {
	var errs []error
	if d.pop != nil {
		errs = append(errs, d.pop.Close())
	}
	if d.imap != nil {
		errs = append(errs, d.imap.close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// fingerprint writes a digest as "AB:CD:…".
func fingerprint(keys *certs.Pair) string {
	digest := certificateDigest(keys)
	pairs := make([]string, len(digest))
	for i, c := range digest {
		pairs[i] = fmt.Sprintf("%02X", c)
	}
	return strings.Join(pairs, ":")
}
