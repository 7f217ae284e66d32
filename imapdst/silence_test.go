package imapdst_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
)

// TestSilence lets the time pass of servers that never answer (A15, N4).
func TestSilence(t *testing.T) {
	hang := func(*fake, string, string) {}
	sync := "IMAP4rev1 SASL-IR AUTH=PLAIN"
	for _, c := range []struct {
		name, caps string
		on         map[string]handler
		want       imapdst.State
		limit      time.Duration
	}{
		{"A15 no continuation", sync, map[string]handler{"APPEND": hang}, imapdst.NotSent,
			61 * time.Second},
		{"A15 no completion", sync + " LITERAL+", afterLiterals(hang), imapdst.Unknown,
			5*time.Minute + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &fake{caps: c.caps, on: c.on}
				conn := server.dial(t)
				start := time.Now()
				p, _ := conn.Append(context.Background(), inboxFolder, items(1, 0))
				o := p.Wait(context.Background())[0]
				if o.State != c.want || fault.CodeOf(o.Err) != fault.Temporary {
					t.Errorf("%+v", o)
				}
				if took := time.Since(start); took > c.limit {
					t.Errorf("took %v", took)
				}
			})
		})
	}
	t.Run("command", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &fake{on: map[string]handler{"EXAMINE": hang}}
			conn := server.dial(t)
			start := time.Now()
			_, err := conn.Folder(context.Background(), "INBOX", false)
			if took := time.Since(start); fault.CodeOf(err) != fault.Temporary || took > 3*time.Minute {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
	t.Run("login", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &fake{on: map[string]handler{"AUTHENTICATE": hang}}
			_, err := imapdst.Dial(context.Background(), server.start(t))
			if fault.CodeOf(err) != fault.Temporary || !strings.Contains(err.Error(), "did not answer") {
				t.Errorf("%v", err)
			}
		})
	})
}

// TestLongPause leaves a connection alone for an hour: it lives on, and the next
// batch asks first.
func TestLongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fake{}
		conn := server.dial(t)
		f := folder(t, conn, "INBOX")
		time.Sleep(time.Hour)
		if o := deliver(t, conn, f, items(1, 0))[0]; o.State != imapdst.Delivered {
			t.Errorf("%+v", o)
		}
		if !strings.Contains(server.received(), " NOOP\r\n") {
			t.Error("nothing was asked before the batch")
		}
		time.Sleep(time.Hour)
		server.conn.Close()
		p, err := conn.Append(context.Background(), f, items(1, 0))
		if o := p.Wait(context.Background())[0]; err == nil || o.State != imapdst.NotSent {
			t.Errorf("after the server went: %v, %+v", err, o)
		}
	})
}

// TestSlowServer is slower than the limit on silence allows for the whole, and
// never silent for so long.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fake{on: map[string]handler{"EXAMINE": func(f *fake, tag, _ string) {
			for range 10 {
				time.Sleep(time.Minute)
				f.send("* OK still here" + strings.Repeat(".", 2000))
			}
			f.selectLines()
			f.send(tag + " OK done")
		}}}
		if f := folder(t, server.dial(t), "INBOX"); f.UIDNext != 100 {
			t.Errorf("%+v", f)
		}
	})
}

// TestTalk ends what is never answered, however much the server says meanwhile (I6).
func TestTalk(t *testing.T) {
	talks := func(text string) handler {
		return func(f *fake, _, _ string) {
			for range 5000 { // longer than any limit
				time.Sleep(time.Second)
				f.send(text)
			}
		}
	}
	for name, text := range map[string]string{
		"still here": "* OK [ALERT] still here, and busy", "counts": "* 4000000000 EXISTS and more",
		"flags": `* 1 FETCH (FLAGS (\Seen \Flagged))`, "go": "+ go ahead, says the server",
	} {
		for verb, use := range map[string]func(*imapdst.Conn) error{
			"EXAMINE": func(c *imapdst.Conn) error {
				_, err := c.Folder(context.Background(), "INBOX", false)
				return err
			},
			"UID FETCH": func(c *imapdst.Conn) error {
				return c.Digests(context.Background(), folder(t, c, "INBOX"), []uint32{1},
					func(uint32, imapdst.Copy) error { return nil })
			},
			"APPEND": func(c *imapdst.Conn) error {
				p, _ := c.Append(context.Background(), inboxFolder, items(1, 0))
				return p.Wait(context.Background())[0].Err
			},
		} {
			t.Run(name+" "+verb, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &fake{on: map[string]handler{verb: talks(text)}}
					conn := server.dial(t)
					start := time.Now()
					err := use(conn)
					if took := time.Since(start); fault.CodeOf(err) != fault.Temporary || took > 13*time.Minute ||
						!errors.Is(err, imapdst.ErrStalled) {
						t.Errorf("%v after %v", err, took)
					}
				})
			})
		}
	}
}

// TestCancel ends every kind of wait.
func TestCancel(t *testing.T) {
	for name, use := range map[string]func(context.Context, *imapdst.Conn) error{
		"command": func(ctx context.Context, c *imapdst.Conn) error {
			_, err := c.Folder(ctx, "INBOX", false)
			return err
		},
		"continuation": func(ctx context.Context, c *imapdst.Conn) error {
			_, err := c.Append(ctx, inboxFolder, items(1, 2<<20))
			return err
		},
		"completion": func(ctx context.Context, c *imapdst.Conn) error {
			p, _ := c.Append(context.Background(), inboxFolder, items(1, 0))
			return p.Wait(ctx)[0].Err
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			hang := func(f *fake, _, args string) {
				if strings.HasSuffix(args, "+}") {
					f.literals(args)
				}
				close(asked)
			}
			server := &fake{on: map[string]handler{"EXAMINE": hang, "APPEND": hang}}
			conn := server.dial(t)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-asked
				cancel()
			}()
			err := use(ctx, conn)
			if !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Temporary {
				t.Errorf("%v", err)
			}
			if err := conn.Remove(context.Background(), inboxFolder, []uint32{1}); err == nil {
				t.Error("the connection is still used")
			}
		})
	}
}

// TestClose says LOGOUT, also when the server does not answer it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, h := range []handler{say("* BYE see you", "TAG OK done"), func(*fake, string, string) {}} {
			server := &fake{on: map[string]handler{"LOGOUT": h}}
			conn := server.dial(t)
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(server.received(), " LOGOUT\r\n") {
				t.Error("no LOGOUT")
			}
			if _, err := conn.Folder(context.Background(), "INBOX", false); err == nil {
				t.Error("usable after Close")
			}
		}
	})
}
