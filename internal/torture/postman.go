package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// postman delivers new mail to an account for as long as he is let.
type postman struct {
	world  *world
	random *rand.Rand
	hard   []corpus.Mail
	serial int
}

// roundLimit is how much mail an account gets at most: later runs should not take longer only
// because there is so much of it.
const roundLimit = 1000

func newPostman(w *world) *postman {
	return &postman{world: w, hard: smallOnes(corpus.Hard()),
		random: rand.New(rand.NewPCG(w.bench.Seed, seedOf(w.user+"/postman")))}
}

// smallOnes drops mail of more than 64 KiB.
func smallOnes(mails []corpus.Mail) []corpus.Mail {
	var out []corpus.Mail
	for _, m := range mails {
		if len(m.Raw) <= 64<<10 {
			out = append(out, m)
		}
	}
	return out
}

func (p *postman) work(ctx context.Context) error {
	for ctx.Err() == nil {
		if p.world.truth.size() < roundLimit {
			if err := p.world.deliver(p.next()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(p.random.IntN(50)) * time.Millisecond):
		}
	}
	return nil
}

// next makes a mail: ordinary, hard, without a Message-ID, the same as an earlier one, or like
// an earlier one but for its text, with the same Message-ID and of the same size.
func (p *postman) next() []byte {
	p.serial++
	switch p.random.IntN(10) {
	case 0, 1:
		if raw := p.world.truth.earlier(p.random.IntN); len(raw) < 64<<10 && raw != nil {
			return raw
		}
	case 2, 3:
		return p.hard[p.random.IntN(len(p.hard))].Raw
	case 4, 5:
		return fmt.Appendf(nil, "Date: Tue, 04 Mar 2014 05:06:00 +0100\r\nFrom: cron@example.org\r\n"+
			"Subject: Cron backup\r\n\r\nBackup %06d of %s\r\n", p.serial, p.world.user)
	case 6:
		return fmt.Appendf(nil, "Message-ID: <twin@example.org>\r\nFrom: twin@example.org\r\n"+
			"Subject: twin\r\n\r\nTwin %06d of %s\r\n", p.serial, p.world.user)
	}
	return p.ordinary()
}

func (p *postman) ordinary() []byte {
	size := p.random.IntN(4000)
	var b bytes.Buffer
	fmt.Fprintf(&b, "Received: by mx.example.net; Tue, 04 Mar 2014 05:06:%02d +0100\r\n"+
		"Message-ID: <%d.%s@example.org>\r\nFrom: friend@example.org\r\nSubject: number %d\r\n\r\n",
		p.serial%60, p.serial, p.world.user, p.serial)
	for line := 0; b.Len() < size; line++ {
		fmt.Fprintf(&b, "%*d. line %d\r\n", p.random.IntN(3), line, p.random.Uint32())
	}
	return b.Bytes()
}
