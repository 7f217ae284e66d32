package post

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// mostReplies is how much a server may say in a session, in octets with TLS.
const mostReplies = 256 << 10

var (
	errSlow = errors.New("it did not take the mail in time")
	errLong = errors.New("it says more than a mail server has to")
)

// mail sends by SMTP, to those who don't have it yet.
func mail(m plan.AlertMail, log *slog.Logger) (func(context.Context, item) error, error) {
	m.Protocol = "SMTP"
	config, err := m.TLSConfig()
	if err != nil {
		return nil, err
	}
	refused := func(to string, err error) {
		err = mailFault(m, err)
		log.Warn("news was not taken for one of its recipients", "by", "mail", "to", to, "error", err, "check", fault.HintOf(err))
	}
	return func(ctx context.Context, n item) error {
		text, err := compose(m, n.News, time.Now())
		if err != nil {
			return err
		}
		later, err := submit(ctx, m, without(m.To, n.Got), config, text, refused)
		var gone refusals
		switch {
		case len(n.Got) > 0 && errors.As(err, &gone) && gone.forGood():
			gone.tell(refused)
			return nil
		case err != nil && ctx.Err() != nil:
			return mailFault(m, errSlow)
		case err != nil:
			return mailFault(m, err)
		case later != nil:
			return &partial{mailFault(m, later), append(n.Got, without(m.To, slices.Collect(maps.Keys(later)))...)}
		}
		return nil
	}, nil
}

// without are the addresses but some, each once.
func without(addresses, some []string) (rest []string) {
	for _, a := range addresses {
		if !slices.Contains(some, a) && !slices.Contains(rest, a) {
			rest = append(rest, a)
		}
	}
	return rest
}

// refusals are why recipients were refused.
type refusals map[string]error

// Error implements error, for one of them.
func (r refusals) Error() string {
	to := slices.Min(slices.Collect(maps.Keys(r)))
	return fmt.Sprintf("it does not take mail for %s now: %v", to, r[to])
}

// Unwrap is for errors.As.
func (r refusals) Unwrap() []error { return slices.Collect(maps.Values(r)) }

// forGood reports whether none of them may be taken later.
func (r refusals) forGood() bool {
	return !slices.ContainsFunc(r.Unwrap(), func(err error) bool {
		var reply *textproto.Error
		return !errors.As(err, &reply) || reply.Code < 500
	})
}

func (r refusals) tell(refused func(to string, err error)) {
	for to, err := range r {
		refused(to, err)
	}
}

// partsOf is what decides how mail is sent, wherever in the file it stands.
func partsOf(m plan.AlertMail) []any {
	ca, _ := os.ReadFile(m.CAFile) // mail says what is wrong with it
	return []any{m.Endpoint, ca, m.Username, m.Password.Secret, m.From, m.To}
}

// bounded is a connection that fails when the other side has said so much: net/smtp takes
// lines of any length.
type bounded struct {
	net.Conn
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// submit is one session (RFC 5321, RFC 8314 §3.3). It ends with ctx. Recipients that are
// refused are told of, as long as another one is not; later are those that may be taken then.
func submit(ctx context.Context, m plan.AlertMail, to []string, config *tls.Config, text []byte, refused func(to string, err error)) (later refusals, err error) {
	if len(to) == 0 {
		return nil, nil // who did not have it is no recipient any more
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Address())
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	client, err := greet(raw, m, config)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if m.Username != "" {
		if err := signIn(client, m); err != nil {
			return nil, err
		}
	}
	later, err = address(client, m.From, to, refused)
	if err != nil {
		return nil, err
	}
	body, err := client.Data()
	if err != nil {
		return nil, err
	}
	if _, err := body.Write(text); err != nil {
		return nil, err
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	_ = client.Quit() // it was taken
	return later, nil
}

// greet begins a session, inside TLS where that is wanted.
func greet(raw net.Conn, m plan.AlertMail, config *tls.Config) (*smtp.Client, error) {
	var conn net.Conn = &bounded{raw, mostReplies}
	if m.TLS == wire.Implicit {
		conn = tls.Client(conn, config)
	}
	client, err := smtp.NewClient(conn, m.Host)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // without one the address is
	if err = client.Hello(helloName(host, raw.LocalAddr())); err == nil && m.TLS == wire.STARTTLS {
		err = client.StartTLS(config)
	}
	if err != nil {
		_ = client.Close()
	}
	return client, err
}

// helloName is what a client calls itself: by a name with a domain, as many servers want it,
// else by its address (RFC 5321 §4.1.4, §4.1.3).
func helloName(host string, local net.Addr) string {
	if strings.Contains(strings.Trim(host, "."), ".") {
		return strings.TrimRight(host, ".")
	}
	at, err := netip.ParseAddrPort(local.String())
	switch ip := at.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "localhost"
	case ip.Is4():
		return "[" + ip.String() + "]"
	default:
		return "[IPv6:" + ip.String() + "]"
	}
}

// address gives the sender and the recipients. One who is gone costs the others nothing; if
// all are refused, it is for now as soon as one is.
func address(client *smtp.Client, from string, recipients []string, refused func(to string, err error)) (later refusals, err error) {
	if err := client.Mail(from); err != nil {
		return nil, err
	}
	gone := refusals{}
	for _, to := range recipients {
		err := client.Rcpt(to)
		var reply *textproto.Error
		switch {
		case err == nil:
		case !errors.As(err, &reply):
			return nil, err // the connection is lost
		case reply.Code >= 500:
			gone[to] = err
		case later == nil:
			later = refusals{}
			fallthrough
		default:
			later[to] = err
		}
	}
	switch {
	case len(gone)+len(later) < len(recipients):
	case later != nil:
		return nil, later
	default:
		return nil, gone
	}
	gone.tell(refused)
	return later, nil
}

// mailFault classifies: 4yz may work later, 5yz will not (RFC 5321 §4.2.1).
func mailFault(m plan.AlertMail, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		hint := "check username and password, and the addresses in from and to"
		if errors.Is(err, errNoWay) {
			hint = "use a mail server that offers AUTH PLAIN or LOGIN, and look whether it does so on this port, and with this tls"
		}
		shown := m.Password.Secret.Hide(reply.Msg, m.Username)
		return fault.New(fault.Refused, "SMTP server %s: %d %s", m.Address(), reply.Code, fault.Escape(shown)).WithHint("%s", hint)
	}
	shown := m.Password.Secret.Hide(fault.Words(err), m.Username)
	failed := fault.New(fault.Temporary, "SMTP server %s: %s", m.Address(), fault.Escape(shown))
	if reply != nil {
		return failed.WithHint("wait, as the mail server may take it later; if it does not, look into its log")
	}
	return failed.WithHint("check host, port and tls of alerts.mail")
}

// compose writes the mail (RFC 5322). It says that a program sent it, so that nobody's
// vacation answers (RFC 3834 §5).
func compose(m plan.AlertMail, n bridge.News, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	for _, field := range [][2]string{
		{"From", m.From}, {"To", strings.Join(m.To, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", subject(n))},
		{"Date", now.Format(time.RFC1123Z)}, {"Message-ID", "<" + rand.Text() + "@" + host + ">"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(fold(field[0]+": "+field[1]) + "\r\n")
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	if _, err := body.Write([]byte(letter(n))); err != nil {
		return nil, fault.New(fault.Internal, "write the mail: %w", err)
	}
	if err := body.Close(); err != nil {
		return nil, fault.New(fault.Internal, "write the mail: %w", err)
	}
	return b.Bytes(), nil
}

// fold breaks a field at its spaces: its lines should have 78 characters at most, and must not
// have more than 998 (RFC 5322 §2.1.1, §2.2.3).
func fold(field string) string {
	var b strings.Builder
	length := 0
	for i, word := range strings.Split(field, " ") {
		switch {
		case i == 0:
		case i > 1 && word != "" && length+1+len(word) > 78:
			b.WriteString("\r\n ")
			length = 1
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// letter is a news for people.
func letter(n bridge.News) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\r\n", fault.Escape(n.Account), report.Harmless(n.Text))
	if n.Check != "" {
		fmt.Fprintf(&b, "\r\nFirst thing to check: %s\r\n", report.Harmless(report.Hint(n.Check)))
	}
	for i, m := range n.Messages {
		if i == 20 {
			fmt.Fprintf(&b, "  and %d more\r\n", len(n.Messages)-i)
			break
		}
		fmt.Fprintf(&b, "\r\n  %s, %d bytes: %s", fault.Escape(m.UIDL), m.Size, fault.Escape(m.Reason))
	}
	for i, m := range n.More {
		if i == 100 {
			fmt.Fprintf(&b, "\r\n  and %d more", len(n.More)-i)
			break
		}
		fmt.Fprintf(&b, "\r\n  %s: %s", fault.Escape(m.Account), fault.Escape(m.Text))
	}
	b.WriteString("\r\n\r\n-- \r\npopferry on ")
	host, _ := os.Hostname()
	b.WriteString(fault.Escape(host) + ", " + n.Time.Local().Format(time.RFC1123Z) + "\r\n")
	return b.String()
}
