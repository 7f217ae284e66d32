package voyage

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// Settle is how long the program gives an append to show up.
const Settle = 90 * time.Second

// Options say what a world is like. The zero value has one maildrop and obedient
// servers.
type Options struct {
	// Maildrops is how many accounts there are, all with one destination; 0: one.
	Maildrops int
	// Pop and Imap are the servers' options.
	Pop  popd.Options
	Imap imapd.Options
	// Keep is what stays on POP3.
	Keep plan.Keep
	// Spool is a directory for large messages.
	Spool string
	// Journal opens the journal; nil: one in memory, on a Disk of its own.
	Journal func() (journal.Journal, error)
	// Form gives what two messages must have in common to count as the same;
	// nil: their canonical form.
	Form func(raw []byte) string
}

// World is servers with mail, and what belongs to the program beside its life:
// configuration and journal.
type World struct {
	// Drops are the POP3 servers, one an account; Imap is the destination.
	Drops []*popd.Server
	Imap  *imapd.Server
	// Config is what the program is told. Its endpoints have no Dial yet.
	Config *plan.Config
	// Journal opens the program's journal.
	Journal func() (journal.Journal, error)
	// Tune changes the options of every life; nil: nothing to change.
	Tune func(*ferry.Options)
	// Verb is what every life does; nil: ferry.Run.
	Verb func(context.Context, ferry.Options) ferry.Report

	spool   string
	running sync.WaitGroup
	truth   truth

	mu     sync.Mutex
	strays []string
}

// New makes a world.
func New(o Options) *World {
	w := &World{Imap: imapd.New(o.Imap), Journal: o.Journal, spool: o.Spool}
	if w.Journal == nil {
		w.Forget()
	}
	w.truth.begin(o.Form)
	w.Config = &plan.Config{
		Limits: plan.Limits{Accounts: 2, PerHost: 8}, Settle: Settle, Hash: "voyage",
	}
	for i := range max(1, o.Maildrops) {
		w.Drops = append(w.Drops, popd.New(o.Pop))
		w.Config.Accounts = append(w.Config.Accounts, account(i, o.Keep))
	}
	return w
}

func account(i int, keep plan.Keep) plan.Account {
	return plan.Account{
		Name: fmt.Sprintf("account%d", i), Folder: "INBOX", Keep: keep, DifferentUser: true,
		Source: endpoint(fmt.Sprintf("pop%d.example.org", i), 110),
		Destination: func() plan.Endpoint {
			e := endpoint("imap.example.net", 143)
			e.Connections = 4
			return e
		}(),
	}
}

func endpoint(host string, port int) plan.Endpoint {
	return plan.Endpoint{
		Endpoint: wire.Endpoint{Host: host, Port: port, TLS: wire.None, AllowPlaintext: true},
		Username: "someone", Secret: secret.New("open sesame"), Auth: "auto",
	}
}

// Forget loses a journal in memory: the next life begins with an empty one.
func (w *World) Forget() {
	w.Journal = NewDisk().Lock
}

// Run is one life of the program. If it is killed the report is empty, and Run
// returns at once: what is left of it can do no harm any more.
func (w *World) Run(ctx context.Context, life *Life) (ferry.Report, error) {
	open := w.Journal
	if life.Journal != nil {
		open = life.Journal
	}
	j, err := open()
	if err != nil {
		return ferry.Report{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan ferry.Report, 1)
	o := ferry.Options{
		Config: w.reachable(life), Journal: diary{j, life}, Spool: w.spool, ConfirmDelete: true,
	}
	if w.Tune != nil {
		w.Tune(&o)
	}
	work := w.Verb
	if work == nil {
		work = ferry.Run
	}
	w.running.Go(func() {
		defer cancel()
		ended <- work(ctx, o)
	})
	select {
	case report := <-ended:
		if life.Died() { // both at once: the dead report nothing
			report = ferry.Report{}
		}
		return report, j.Close()
	case <-life.Death():
		cancel()
		return ferry.Report{}, j.Close()
	}
}

// reachable is the configuration with a network that ends with a life.
func (w *World) reachable(life *Life) *plan.Config {
	c := *w.Config
	c.Accounts = make([]plan.Account, len(w.Config.Accounts))
	for i, a := range w.Config.Accounts {
		a.Source.Dial = w.dialer(life, a.Name, fmt.Sprintf("pop%d", i), a.Source.Address(), w.Drops[i].ServeConn)
		a.Destination.Dial = w.dialer(life, a.Name, "imap", a.Destination.Address(), w.Imap.ServeConn)
		c.Accounts[i] = a
	}
	return &c
}

func (w *World) dialer(life *Life, account, name, own string, serve func(net.Conn)) wire.DialFunc {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		if address != own {
			w.stray(address)
		}
		if !life.step(account, name+" dial") {
			return nil, errDead
		}
		client, server := newPipe()
		conn, err := life.connect(name, client)
		if err != nil {
			return nil, err
		}
		w.running.Go(func() { serve(server) })
		return conn, nil
	}
}

func (w *World) stray(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strays = append(w.strays, address)
}

// Strays lists addresses that the program dialled though no account names them.
func (w *World) Strays() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.strays)
}

// Close ends the servers and waits for all that still runs.
func (w *World) Close() {
	for _, d := range w.Drops {
		d.Close()
	}
	w.Imap.Close()
	w.running.Wait()
}
