package post

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/internal/bridge"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
)

// TestTriedForAnHour, whether the other side refuses at once or takes its time.
func TestTriedForAnHour(t *testing.T) {
	for _, takes := range []time.Duration{0, each} {
		synctest.Test(t, func(t *testing.T) {
			w := &way{}
			w.ctx, w.cancel = context.WithCancel(t.Context())
			defer w.cancel()
			began := time.Now()
			err := w.persist(func(context.Context) error {
				time.Sleep(takes)
				return fault.New(fault.Temporary, "away").WithHint("wait")
			})
			if took := time.Since(began); err == nil || took < 50*time.Minute || took > 61*time.Minute {
				t.Errorf("gave up after %v: %v", took, err)
			}
		})
	}
}

func news(account string, kind bridge.Kind) bridge.News {
	return bridge.News{Account: account, Kind: kind, Text: "x"}
}

// TestManyWait: they join the first of their kind for which the order of each account's
// news stays; the one in hand stays as it is.
func TestManyWait(t *testing.T) {
	q := newQueue("", func(string) {})
	for n := range many {
		q.add(news(fmt.Sprint("a", n), bridge.Fails))
	}
	q.add(news("b", bridge.Fails))
	q.add(news("b", bridge.Recovered))
	q.add(news("c", bridge.Fails))
	q.add(news("b", bridge.Fails)) // after it recovered
	var got []string
	for _, n := range q.left()[many-1:] {
		text := n.Account + " " + string(n.Kind)
		for _, m := range n.More {
			text += "+" + m.Account
		}
		got = append(got, text)
	}
	if fmt.Sprint(got) != "[a19 failing+b+c b recovered b failing]" {
		t.Errorf("%q", got)
	}
	for n := range 500 { // no two of them can be put together
		q.add(news("d", []bridge.Kind{bridge.Fails, bridge.Recovered}[n%2]))
	}
	if n := len(q.left()); n > queued {
		t.Errorf("%d wait", n)
	}
}

// TestKeptIsBounded: a restart loses the newest rather than all.
func TestKeptIsBounded(t *testing.T) {
	kept := ""
	q := newQueue("", func(text string) { kept = text })
	for n := range many {
		held := news(fmt.Sprint("a", n), bridge.Holds)
		held.Messages = []ferry.MessageReport{{Reason: strings.Repeat("x", mostKept/8)}}
		q.add(held)
	}
	again := newQueue(kept, func(string) {}).left()
	if len(kept) > mostKept || len(again) == 0 || len(again) == many || again[0].Account != "a0" || len(q.left()) != many {
		t.Errorf("%d octets, %d news", len(kept), len(again))
	}
}
