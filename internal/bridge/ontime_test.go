package bridge_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/internal/secret"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

const (
	everyFive = 5 * time.Minute
	// late is how much later than its interval mail may be there.
	late = 2 * time.Second
	// distance is how long it takes to reach a server.
	distance = 100 * time.Millisecond
)

// quay is many accounts, each with a maildrop of its own, and one IMAP server, on a clock of
// their own.
type quay struct {
	t     *testing.T
	imap  *imapd.Server
	drops []*popd.Server
	o     ferry.Options
	// shares has all accounts at one POP3 server.
	shares bool

	mu     sync.Mutex
	there  map[string]time.Time // when an account last got mail
	passes map[string][]bridge.Pass
}

func newQuay(t *testing.T) *quay {
	t.Helper()
	j, err := voyage.NewDisk().Lock()
	if err != nil {
		t.Fatal(err)
	}
	return &quay{t: t, imap: imapd.New(imapd.Options{Separate: true}), there: map[string]time.Time{}, passes: map[string][]bridge.Pass{},
		o: ferry.Options{Journal: j, Spool: t.TempDir(), Config: &plan.Config{Limits: plan.Limits{Accounts: 8, PerHost: 4},
			Settle: voyage.Settle, Hash: "quay"}}}
}

func (q *quay) add(name string, o popd.Options) {
	drop := popd.New(o)
	q.drops = append(q.drops, drop)
	side := func(host string, dial wire.DialFunc) plan.Endpoint {
		return plan.Endpoint{Username: name, Secret: secret.New("x"), Auth: "auto", Connections: 2,
			Endpoint: wire.Endpoint{Host: host, Port: 1, TLS: wire.None, AllowPlaintext: true, Dial: distant(dial)}}
	}
	pop := name + ".example.org"
	if q.shares {
		pop = "pop.example.org"
	}
	q.o.Config.Accounts = append(q.o.Config.Accounts, plan.Account{Name: name, Folder: "INBOX",
		Source: side(pop, drop.Dial), Destination: side("imap.example.net", q.imap.Dial)})
}

func distant(dial wire.DialFunc) wire.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(distance)
		return dial(ctx, network, address)
	}
}

// keeps lets a bridge keep all accounts until stop is called.
func (q *quay) keeps() (stop func()) {
	fleet := ferry.NewFleet(q.o)
	var set []bridge.Account
	for _, a := range q.o.Config.Accounts {
		set = append(set, bridge.Account{Name: a.Name, Interval: everyFive, Fastest: time.Minute,
			Pass: func(ctx context.Context, held bool) ferry.AccountReport { return fleet.Pass(ctx, a.Name, held) }})
	}
	b := bridge.New(bridge.Options{Finished: q.passed})
	ctx, cancel := context.WithCancel(context.Background())
	b.Start(ctx, set)
	return func() {
		cancel()
		b.Wait()
		fleet.Close()
		for _, d := range q.drops {
			d.Close()
		}
		q.imap.Close()
	}
}

// passed asks the server itself what it has, and believes no report.
func (q *quay) passed(p bridge.Pass) {
	q.mu.Lock()
	defer q.mu.Unlock()
	name := p.Report.Name
	if n := len(q.imap.User(name).Mailbox("INBOX")); n > 0 && q.there[name].IsZero() {
		q.there[name] = time.Now()
	}
	q.passes[name] = append(q.passes[name], p)
}

// TestMailIsThereWithinTheInterval, in each of 200 accounts and whenever it arrives, although
// one stalls and one is refused; and although five times as many stall as the server that has
// all of them may have connections.
func TestMailIsThereWithinTheInterval(t *testing.T) {
	for name, stalled := range map[string]int{"one stalls": 1, "twenty stall at one server": 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQuay(t)
				q.shares = stalled > 1
				const well = 198
				for i := range well {
					q.add(fmt.Sprintf("user%d", i), popd.Options{})
				}
				for i := range stalled {
					from := []string{"GREETING", "AUTH", "LIST", "UIDL"}[i%4]
					q.add(fmt.Sprintf("stalls%d", i), popd.Options{Reply: func(verb string, _ int) ([]byte, bool) {
						return nil, verb == from
					}})
				}
				q.add("refused", popd.Options{Username: "somebody", Password: "else"})
				stop := q.keeps()
				time.Sleep(20 * time.Minute)
				known := time.Now() // which ones stall
				arrived := map[string]time.Time{}
				for i := range well {
					arrived[fmt.Sprintf("user%d", i)] = time.Now()
					q.drops[i].Deliver(fmt.Appendf(nil, "Subject: %d\r\n\r\nhello\r\n", i))
					time.Sleep(1700 * time.Millisecond) // so that they spread over an interval
				}
				time.Sleep(2 * everyFive)
				stop()
				for name, at := range arrived {
					if there := q.there[name]; there.IsZero() || there.Sub(at) > everyFive+late {
						t.Errorf("%s: mail of %v is there at %v", name, at, there)
					}
					q.onTime(name, known)
				}
				for i := range stalled {
					r := q.passes[fmt.Sprintf("stalls%d", i)]
					if len(r) == 0 || r[0].Report.ExitCode != fault.Temporary {
						t.Errorf("one that stalls: %+v", r)
					}
				}
				if r := q.passes["refused"]; len(r) != 2 || r[0].Report.ExitCode != fault.Credentials {
					t.Errorf("the one that is refused: %+v", r)
				}
			})
		})
	}
}

// onTime holds passes of an account against its interval; where a server has all accounts
// those from a time on, when it is known which ones stall.
func (q *quay) onTime(name string, known time.Time) {
	q.t.Helper()
	passes := q.passes[name]
	if len(passes) < 7 {
		q.t.Errorf("%s passed %d times", name, len(passes))
	}
	for i := 1; i < len(passes); i++ {
		gap := passes[i].Started.Sub(passes[i-1].Started)
		if gap > everyFive+late && !(q.shares && passes[i].Started.Before(known)) {
			q.t.Errorf("%s passed after %v", name, gap)
		}
	}
}
