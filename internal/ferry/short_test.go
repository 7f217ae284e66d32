package ferry_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// cutsOff is a maildrop whose server gives some messages without their end, each time the
// same, and tells the right sizes of all.
func cutsOff(t *testing.T, mail [][]byte, upTo int, cut ...int) *pair {
	var p *pair
	p = newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
		left := p.pop.Messages()
		for _, i := range cut {
			if cmd == "RETR" && bytes.Equal(left[n-1], mail[i-1]) {
				return fmt.Appendf(nil, "+OK\r\n%s\r\n.\r\n", mail[i-1][:upTo]), true
			}
		}
		return nil, false
	}}, imapd.Options{}, mail...)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	return p
}

// TestCutOff (S8, I4): what a server gives cut off, each time the same, is delivered as it
// comes, and the rest of it is not deleted: not when all others are gone, nor without the
// journal.
func TestCutOff(t *testing.T) {
	for name, cut := range map[string][]int{"one": {7}, "several": {2, 3, 5, 7, 11}} {
		t.Run(name, func(t *testing.T) {
			mail := longer(20)
			p := cutsOff(t, mail, len(mail[0])-900, cut...)
			r := p.run(fault.OK, 20)
			if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "shorter than the POP3 server says") ||
				r.Totals.Deleted != 20-len(cut) {
				t.Errorf("%d deleted, notes %s", r.Totals.Deleted, notes)
			}
			p.run(fault.OK, 0)
			p.forget()
			p.run(fault.OK, 0)
			p.run(fault.OK, 0)
			var want [][]byte
			for _, i := range cut {
				want = append(want, mail[i-1])
			}
			p.left(want...)
		})
	}
}

// TestLacksALittle (S8, I4): mail that has less than LIST says by a few octets is read twice, also
// where little is known of the server's sizes yet; what it gives of it the same each time is
// delivered, and stays on POP3.
func TestLacksALittle(t *testing.T) {
	small := []byte("Message-ID: <small@example.org>\r\nSubject: small\r\n\r\n" + strings.Repeat("twenty octets here\r\n", 4))
	bare := []byte("Message-ID: <bare@example.org>\r\nSubject: bare\r\n\r\n" + strings.Repeat("a line\n", 20) + "the end\r\n")
	for name, c := range map[string]struct {
		mail [][]byte
		cut  []int
		off  int
	}{
		"the only one":  {[][]byte{small}, []int{1}, 58},
		"the first":     {longer(30), []int{1}, 50},
		"the third":     {longer(30), []int{3}, 50},
		"one of many":   {longer(30), []int{17}, 1},
		"a tenth":       {longer(30), []int{1, 9, 20}, 50},
		"two of a pair": {longer(2), []int{1, 2}, 40},
		"bare LFs":      {append(longer(30), bare), []int{31}, 9},
	} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", once), func(t *testing.T) {
				var given sync.Map
				var p *pair
				p = newPair(t, popd.Options{Reply: func(cmd string, n int) ([]byte, bool) {
					for _, i := range c.cut {
						raw := c.mail[i-1]
						if cmd != "RETR" || !bytes.Equal(p.pop.Messages()[n-1], raw) {
							continue
						}
						if _, again := given.LoadOrStore(i, true); !again || !once {
							return fmt.Appendf(nil, "+OK\r\n%s\r\n.\r\n", raw[:len(raw)-c.off-2]), true
						}
					}
					return nil, false
				}}, imapd.Options{}, c.mail...)
				p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
				for range 3 {
					runFerry(t, p.o)
				}
				if once { // it arrives whole after all
					p.left()
					p.arrived(c.mail...)
					return
				}
				var want [][]byte
				for _, i := range c.cut {
					want = append(want, c.mail[i-1])
				}
				p.left(want...)
			})
		}
	}
}

// longer are n messages of two kB.
func longer(n int) (mail [][]byte) {
	for i := range n {
		mail = append(mail, fmt.Appendf(nil, "Subject: %03d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s", i, i,
			strings.Repeat("twenty octets here\r\n", 100)))
	}
	return mail
}

// TestCutOffAmidHeader: there is nothing to deliver.
func TestCutOffAmidHeader(t *testing.T) {
	mail := longer(5)
	p := cutsOff(t, mail, 20, 3)
	r := p.run(fault.Held, 4)
	if m := r.Accounts[0].Messages; len(m) != 1 || !strings.Contains(m[0].Reason, "ends amid its header") {
		t.Errorf("%+v", m)
	}
	p.left(mail[2])
}

// TestCutOffAtALength: a server, or a scanner in between, gives no more than so much of each
// message, and has most of them; or one of them, which comes in each pass anew.
func TestCutOffAtALength(t *testing.T) {
	var mail [][]byte
	for i := range 40 {
		mail = append(mail, fmt.Appendf(nil, "Subject: %03d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s", i, i,
			strings.Repeat("twenty octets here\r\n", 100+i)))
	}
	all := make([]int, len(mail))
	for i := range all {
		all[i] = i + 1
	}
	p := cutsOff(t, mail, 1900, all...)
	if r := p.run(fault.OK, len(mail)); r.Totals.Deleted != 0 {
		t.Errorf("%d deleted", r.Totals.Deleted)
	}
	p.left(mail...)

	mail = longer(12)
	p = cutsOff(t, mail, len(mail[0])-900, 7)
	p.pop.Configure(func(o *popd.Options) { o.NoUIDL, o.NoTOP = true, true })
	p.run(fault.OK, len(mail))
	for range 25 {
		p.run(fault.OK, 0)
	}
	p.left(mail[6])
}

// TestSizesAreOff: where all sizes of many messages are too large nothing is cut off, and mail
// is deleted, in later runs too.
func TestSizesAreOff(t *testing.T) {
	var mail [][]byte
	for i := range 25 {
		mail = append(mail, fmt.Appendf(nil, "Subject: %03d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s", i, i,
			strings.Repeat("twenty octets here\r\n", 300+50*i)))
	}
	p := newPair(t, popd.Options{SizeOffset: 5000}, imapd.Options{}, mail...)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	r := p.run(fault.OK, 25)
	if r.Totals.Deleted != 25 || strings.Contains(strings.Join(r.Accounts[0].Notes, "\n"), "shorter") {
		t.Errorf("%d deleted, %q", r.Totals.Deleted, r.Accounts[0].Notes)
	}
	p.pop.Deliver(append([]byte("X: y\r\n"), mail[3]...))
	if r := p.run(fault.OK, 1); r.Totals.Deleted != 1 {
		t.Errorf("%d deleted in a later run, %q", r.Totals.Deleted, r.Accounts[0].Notes)
	}
}

// TestEndLostOnce (S8, I4): of a server whose sizes are right a message comes once without its
// last line, in a batch of its own or among others, and ends as it should. It is read again,
// and delivered whole. What never has more is delivered as it comes.
func TestEndLostOnce(t *testing.T) {
	const lost = "twenty octets here\r\n"
	withoutEnd := func(raw []byte) string {
		return "+OK\r\n" + strings.TrimSuffix(string(raw), lost) + ".\r\n"
	}
	for name, n := range map[string]int{"among others": 12, "last": 29} {
		t.Run(name, func(t *testing.T) {
			mail := longer(30)
			p := alters(t, mail, n, 1, withoutEnd)
			if r := p.run(fault.OK, 30); r.Totals.Deleted != 30 {
				t.Errorf("%d deleted", r.Totals.Deleted)
			}
			p.arrived(mail...)
			p.left()
		})
	}
	t.Run("in a later run", func(t *testing.T) {
		mail := longer(8)
		p := alters(t, mail, 7, 1, withoutEnd)
		p.pop.Configure(func(o *popd.Options) { o.Page = 7 })
		p.run(fault.OK, 7)
		p.pop.Configure(func(o *popd.Options) { o.Page = 0 })
		p.run(fault.OK, 1)
		p.arrived(mail...)
	})
	t.Run("always", func(t *testing.T) {
		mail := longer(30)
		p := alters(t, mail, 12, -1, withoutEnd)
		p.run(fault.OK, 30)
		p.run(fault.OK, 0)
	})
}

// alters is a maildrop whose server gives a message otherwise than it is, for as many
// times.
func alters(t *testing.T, mail [][]byte, n, times int, alter func(raw []byte) string) *pair {
	var p *pair
	p = newPair(t, popd.Options{Reply: func(cmd string, i int) ([]byte, bool) {
		left := p.pop.Messages()
		if cmd != "RETR" || times == 0 || !bytes.Equal(left[i-1], mail[n]) {
			return nil, false
		}
		times--
		return []byte(alter(mail[n])), true
	}}, imapd.Options{}, mail...)
	p.account().Keep = plan.Keep{Delete: true}
	p.o.ConfirmDelete = true
	return p
}

func brief(n int) (mail [][]byte) {
	for i := range n {
		mail = append(mail, fmt.Appendf(nil, "Subject: %03d\r\nMessage-ID: <%d@example.org>\r\n\r\ntext %d\r\n", i, i, i))
	}
	return mail
}

func withAnswer(raw []byte) string {
	answer := fmt.Sprintf("+OK %d octets\r\n", len(raw))
	return answer + answer + string(raw) + ".\r\n"
}

// TestAnswerTwice: the first line of a message that is an answer of the server is none of
// its, unless it comes each time; then nothing is deleted that others do not have.
func TestAnswerTwice(t *testing.T) {
	mail := brief(8)
	t.Run("once", func(t *testing.T) {
		p := alters(t, mail, 3, 1, withAnswer)
		p.run(fault.OK, 8)
		p.arrived(mail...)
		p.left()
	})
	t.Run("always", func(t *testing.T) {
		p := alters(t, mail, 3, -1, withAnswer)
		p.run(fault.OK, 8)
		_, raw, _ := strings.Cut(strings.TrimSuffix(withAnswer(mail[3]), ".\r\n"), "\r\n")
		p.arrived(append(append([][]byte{[]byte(raw)}, mail[:3]...), mail[4:]...)...)
		p.left(mail[3])
	})
	t.Run("otherwise each time", func(t *testing.T) {
		times := 0
		p := alters(t, mail, 3, -1, func(raw []byte) string {
			times++
			return withAnswer(fmt.Appendf(nil, "%s%d\r\n", raw, times))
		})
		r := p.run(fault.Held, 7)
		if m := r.Accounts[0].Messages; len(m) != 1 || !strings.Contains(m[0].Reason, "begins as the answers") {
			t.Errorf("%+v", m)
		}
		p.left(mail[3])
	})
}

// TestLineTooMany (I4): what came with a line more than the server says is not deleted,
// whatever its TOP has, nor in a later run; unless nearly all have more.
func TestLineTooMany(t *testing.T) {
	mail := brief(8)
	p := alters(t, mail, 3, 1, func(raw []byte) string { return "+OK\r\n" + string(raw) + "+OK 1 24\r\n.\r\n" })
	p.run(fault.OK, 8)
	r := p.run(fault.OK, 0)
	if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "shorter or longer than the server says") {
		t.Errorf("notes %s", notes)
	}
	p.left(mail[3])

	added := newPair(t, popd.Options{SizeOffset: -50}, imapd.Options{}, mail...)
	added.account().Keep, added.o.ConfirmDelete = plan.Keep{Delete: true}, true
	added.run(fault.OK, 8)
	added.left()
}

// TestWrongEnds (I7): one message that the server ends wrongly keeps no other from arriving;
// one after the other, each of which costs all the time that a silent server is given, end
// the run.
func TestWrongEnds(t *testing.T) {
	mail := brief(8)
	for name, c := range map[string]struct {
		wrong           []int
		want            fault.Code
		delivered, most int // of how many RETR or TOP may end a session
	}{
		"one":                  {[]int{3}, fault.Held, 7, 1},
		"two, and another one": {[]int{2, 3, 6}, fault.Held, 5, 3},
		"all":                  {[]int{1, 2, 3, 4, 5, 6, 7, 8}, fault.Protocol, 0, 3},
	} {
		for _, top := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", TOP ", top), func(t *testing.T) {
				t.Parallel()
				var ended sync.Map
				wrong := func(cmd string, n int) ([]byte, bool) {
					if (cmd == "RETR" || cmd == "TOP") && slices.Contains(c.wrong, n) {
						ended.Store(fmt.Sprint(cmd, n), true)
						return fmt.Appendf(nil, "+OK\r\n%s.\n", mail[n-1]), true
					}
					return nil, false
				}
				p := newPair(t, popd.Options{Reply: wrong, NoPipelining: true}, imapd.Options{}, mail...)
				p.account().Source.Limits.Idle = 100 * time.Millisecond
				if top { // it is asked where there is mail that could be the same
					p.imap.User("").Deliver("INBOX", ordinary(1, 40)[0], nil, time.Time{})
				}
				p.run(c.want, c.delivered)
				n := map[string]int{}
				ended.Range(func(k, _ any) bool { n[strings.TrimRight(k.(string), "12345678")]++; return true })
				if n["RETR"] > c.most || n["TOP"] > c.most {
					t.Errorf("%v", n)
				}
			})
		}
	}
}
