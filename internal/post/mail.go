package post

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/wire"
	"github.com/popferry/popferry/plan"
)

// mostReplies is how much a server may say in a session, in octets with TLS.
const mostReplies = 256 << 10

var (
	errSlow = errors.New("it did not take the mail in time")
	errLong = errors.New("it says more than a mail server has to")
)

// mail sends by SMTP.
func mail(m plan.AlertMail) (func(context.Context, bridge.News) error, error) {
	m.Protocol = "SMTP"
	config, err := m.TLSConfig()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, n bridge.News) error {
		text, err := compose(m, n, time.Now())
		if err != nil {
			return err
		}
		err = submit(ctx, m, config, text)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			err = errSlow
		}
		return mailFault(m, err)
	}, nil
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

// submit is one session (RFC 5321, RFC 8314 §3.3). It ends with ctx.
func submit(ctx context.Context, m plan.AlertMail, config *tls.Config, text []byte) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Address())
	if err != nil {
		return err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	var conn net.Conn = &bounded{raw, mostReplies}
	if m.TLS == wire.Implicit {
		conn = tls.Client(conn, config)
	}
	client, err := smtp.NewClient(conn, m.Host)
	if err != nil {
		return err
	}
	defer client.Close()
	if m.TLS == wire.STARTTLS {
		if err := client.StartTLS(config); err != nil {
			return err
		}
	}
	if m.Username != "" {
		if err := client.Auth(smtp.PlainAuth("", m.Username, m.Password.Secret.Reveal(), m.Host)); err != nil {
			return err
		}
	}
	if err := client.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(text); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	_ = client.Quit() // it was taken
	return nil
}

// mailFault classifies: 4yz may work later, 5yz will not (RFC 5321 §4.2.1).
func mailFault(m plan.AlertMail, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		shown := m.Password.Secret.Hide(reply.Msg, m.Username)
		return fault.New(fault.Refused, "SMTP server %s: %d %s", m.Address(), reply.Code, fault.Escape(shown)).
			WithHint("check username and password, and the addresses in from and to")
	}
	shown := m.Password.Secret.Hide(err.Error(), m.Username)
	return fault.New(fault.Temporary, "SMTP server %s: %s", m.Address(), fault.Escape(shown)).
		WithHint("check host, port and tls of alerts.mail")
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
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
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

// letter is a news for people.
func letter(n bridge.News) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\r\n", fault.Escape(n.Account), fault.Escape(n.Text))
	if n.Check != "" {
		fmt.Fprintf(&b, "\r\nFirst thing to check: %s\r\n", fault.Escape(n.Check))
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
