package corpus

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Ordinary gives n well-formed messages like those of a mailbox grown over
// twenty years: about 17 kB each on average, most of them smaller and a few much
// larger; plain, quoted-printable, 8-bit and multipart, some with attachments;
// each with a Message-ID of its own, a chain of Received fields, and a date a
// little after that of the one before. The same seed gives the same mail.
func Ordinary(n int, seed int64) []Mail {
	mails := make([]Mail, n)
	for i := range mails {
		w := &writer{
			rand:   rand.New(rand.NewPCG(uint64(seed), uint64(i))),
			id:     fmt.Sprintf("%d.%d", seed, i),
			number: i,
		}
		w.date = firstDate.Add(years/time.Duration(n)*time.Duration(i) + w.upTo(30*time.Minute))
		mails[i] = Mail{Name: "ordinary/" + w.id, Raw: w.mail()}
	}
	return mails
}

const years = 20 * 365 * 24 * time.Hour

var firstDate = time.Date(2004, 2, 3, 4, 5, 6, 0, time.UTC)

// writer writes one ordinary message.
type writer struct {
	bytes.Buffer
	rand   *rand.Rand
	id     string
	number int
	date   time.Time
}

func (w *writer) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(int64(d)))
}

func (w *writer) pick(of ...string) string { return of[w.rand.IntN(len(of))] }

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\r\n", args...)
}

// mail writes a message of a size whose logarithm is normally distributed, as
// that of mail is, with a mean of 17 kB.
func (w *writer) mail() []byte {
	const mean, sigma = 17_000, 1.1
	size := mean * math.Exp(sigma*w.rand.NormFloat64()-sigma*sigma/2)
	w.envelope()
	want := min(max(int(size), w.Len()+200), 3<<20)
	switch share := w.rand.Float64(); {
	case want > 60_000 || want > 8_000 && share < 0.2:
		w.attachment(want)
	case want > 5_000 && share < 0.6:
		w.alternative(want)
	default:
		w.plain(want)
	}
	return w.Bytes()
}

// envelope writes all of the header but what tells of the content.
func (w *writer) envelope() {
	who, where := w.person(), w.pick("example.org", "example.com", "lists.example.net")
	w.line("Return-Path: <%s@%s>", who, where)
	w.received(where)
	w.line("Message-ID: <%s.%08x@%s>", w.id, w.rand.Uint32(), where)
	w.line("Date: %s", w.date.Format(time.RFC1123Z))
	w.line("From: %s <%s@%s>", w.pick(names...), who, where)
	w.line("To: %s", strings.Join(w.recipients(), ",\r\n\t"))
	w.line("Subject: %s", w.subject())
	if w.number > 0 && w.rand.IntN(3) == 0 {
		w.line("References: <%s.parent@example.org>\r\n\t<%s.thread@example.org>", w.id, w.id)
	}
	if where == "lists.example.net" {
		w.line("List-Id: People who write examples <examples.lists.example.net>")
		w.line("List-Unsubscribe: <mailto:leave@lists.example.net>")
	}
	w.line("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=one;", where)
	w.line("\th=from:to:subject:date; b=%s", w.base64(96))
	w.line("MIME-Version: 1.0")
}

// received writes the hops of a message, the last one first.
func (w *writer) received(where string) {
	arrived := w.date.Add(w.upTo(10 * time.Minute))
	for hop := 2 + w.rand.IntN(5); hop > 0; hop-- {
		w.line("Received: from relay%d.%s (relay%d.%s [192.0.2.%d])", hop, where, hop, where, hop)
		w.line("\tby mx%d.example.net (Postfix) with ESMTPS id %08X", hop, w.rand.Uint32())
		w.line("\tfor <someone@example.net>; %s (CET)", arrived.Format(time.RFC1123Z))
		arrived = arrived.Add(-w.upTo(5 * time.Second))
	}
}

func (w *writer) recipients() []string {
	to := []string{"Someone <someone@example.net>"}
	for w.rand.IntN(3) == 0 {
		to = append(to, w.pick(names...)+" <"+w.person()+"@example.com>")
	}
	return to
}

func (w *writer) subject() string {
	return w.pick("", "Re: ", "Fwd: ", "[examples] ") + w.pick(
		"Minutes of the meeting", "Your order has been shipped", "Invoice", "Holiday pictures",
		"=?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_Z=C3=BCrich?=", "=?iso-8859-1?B?Y2Fm6Q==?=",
		"A question about the\r\n last release of the library", "(no subject)")
}

var names = []string{
	"Ann Example", `"Example, Bob"`, "=?utf-8?Q?J=C3=BCrgen?=", "The Example Shop", "c",
}

func (w *writer) person() string {
	return w.pick("ann", "bob", "juergen", "no-reply", "shop") + w.pick("", ".x", "+list")
}

// plain writes a text of a single part, in one of the usual encodings.
func (w *writer) plain(want int) {
	switch w.rand.IntN(3) {
	case 0:
		w.line("Content-Type: text/plain; charset=us-ascii\r\n")
		w.prose(want, "e")
	case 1:
		w.line("Content-Type: text/plain; charset=utf-8")
		w.line("Content-Transfer-Encoding: 8bit\r\n")
		w.prose(want, "é")
	default:
		w.line("Content-Type: text/plain; charset=utf-8")
		w.line("Content-Transfer-Encoding: quoted-printable\r\n")
		w.quoted(want)
	}
}

// alternative writes a newsletter: the same as text and as HTML.
func (w *writer) alternative(want int) {
	b := w.boundary()
	w.line(`Content-Type: multipart/alternative; boundary="%s"`+"\r\n", b)
	w.line("--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n", b)
	w.prose(w.Len()+(want-w.Len())/3, "e")
	w.line("\r\n--%s\r\nContent-Type: text/html; charset=utf-8", b)
	w.line("Content-Transfer-Encoding: quoted-printable\r\n")
	w.quoted(want - 60)
	w.line("\r\n--%s--", b)
}

// attachment writes a short text with a file.
func (w *writer) attachment(want int) {
	b := w.boundary()
	w.line(`Content-Type: multipart/mixed; boundary="%s"`+"\r\n", b)
	w.line("This is a multi-part message in MIME format.")
	w.line("--%s\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\n", b)
	w.prose(w.Len()+600, "é")
	w.line("\r\n--%s\r\nContent-Type: image/jpeg", b)
	w.line(`Content-Disposition: attachment; filename="picture %d.jpg"`, w.number)
	w.line("Content-Transfer-Encoding: base64\r\n")
	for w.Len() < want-100 {
		w.line("%s", w.base64(57))
	}
	w.line("--%s--", b)
}

func (w *writer) boundary() string { return fmt.Sprintf("=_%016x", w.rand.Uint64()) }

// base64 gives n random octets in base64.
func (w *writer) base64(n int) string {
	p := make([]byte, 0, n+8)
	for len(p) < n {
		v := w.rand.Uint64()
		p = append(p, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40))
	}
	return base64.StdEncoding.EncodeToString(p[:n])
}

// prose writes text until the message has a size, with a letter of its own, some
// quoted lines and now and then a line that begins with a dot.
func (w *writer) prose(want int, letter string) {
	for w.Len() < want {
		w.WriteString(w.pick("", "", "", "", "", "> ", "> > ", "..", "From the "))
		for range 6 + w.rand.IntN(5) {
			w.WriteString(w.pick("mail ", "and ", "th"+letter+" ", "m"+letter+"ssag"+letter+" ",
				"which ", "carri"+letter+"s ", "42 ", "to-morrow "))
		}
		w.WriteString("\r\n" + w.pick("", "", "", "\r\n"))
	}
}

// quoted writes HTML in quoted-printable.
func (w *writer) quoted(want int) {
	q := quotedprintable.NewWriter(w)
	for w.Len() < want {
		fmt.Fprintf(q, "<p style=\"color: #%06x\">%s — %s</p>\n", w.rand.IntN(1<<24),
			w.pick(names...), strings.Repeat(w.pick("grüß ", "café ", "price: 12 € "), 12))
	}
	q.Close()
}
