package pop_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/pop"
)

func deleteAll(t testing.TB, m *pop.Maildrop, entries []pop.Entry) {
	t.Helper()
	err := m.Delete(t.Context(), entries, asIs)
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

func asIs(_ pop.Entry, err error) error { return err }

func texts(server *popd.Server) []string {
	var all []string
	for _, raw := range server.Messages() {
		all = append(all, string(raw))
	}
	return all
}

// I2 and S14: only QUIT removes; Close and RSET do not.
func TestOnlyQuitRemoves(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		for name, test := range map[string]struct {
			end  func(*pop.Maildrop) error
			want []string
		}{
			"quit":      {func(m *pop.Maildrop) error { return m.Quit(t.Context()) }, []string{"b\r\n"}},
			"S14 close": {(*pop.Maildrop).Close, []string{"a\r\n", "b\r\n", "c\r\n"}},
			"reset": {func(m *pop.Maildrop) error {
				return errors.Join(m.Reset(t.Context()), m.Quit(t.Context()))
			}, []string{"a\r\n", "b\r\n", "c\r\n"}},
		} {
			t.Run(fmt.Sprint(name, "/", noPipelining), func(t *testing.T) {
				server := serve(t, popd.Options{NoPipelining: noPipelining}, "a\r\n", "b\r\n", "c\r\n")
				m := dial(t, over(server))
				entries := list(t, m)
				deleteAll(t, m, []pop.Entry{entries[0], entries[2]})
				if diff := cmp.Diff([]string{"a\r\n", "b\r\n", "c\r\n"}, texts(server)); diff != "" {
					t.Errorf("removed before the end: %s", diff)
				}
				if err := test.end(m); err != nil {
					t.Fatal(err)
				}
				server.Close() // waits for the session
				if diff := cmp.Diff(test.want, texts(server)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestDeleteRefused(t *testing.T) {
	for _, noPipelining := range []bool{false, true} {
		server := serve(t, popd.Options{NoPipelining: noPipelining}, "a\r\n", "b\r\n", "c\r\n")
		m := dial(t, over(server))
		entries := list(t, m)
		server.Expunge(2)
		refused := map[int]string{}
		err := m.Delete(t.Context(), entries, func(e pop.Entry, err error) error {
			if err != nil {
				wantFault(t, err, fault.Held, "message 2 expunged")
				refused[e.Number] = err.Error()
			}
			return nil
		})
		if err != nil || len(refused) != 1 || refused[2] == "" {
			t.Errorf("refused %v, %v", refused, err)
		}
		if err := m.Quit(t.Context()); err != nil || len(texts(server)) != 0 {
			t.Errorf("left %q, %v", texts(server), err)
		}
	}
}

func TestDeleteRoundTrips(t *testing.T) {
	server := serve(t, popd.Options{}, hard...)
	m := dial(t, over(server))
	entries := list(t, m)
	before := m.RoundTrips()
	deleteAll(t, m, entries)
	if n := m.RoundTrips() - before; n != 1 {
		t.Errorf("%d round trips for %d messages, want 1", n, len(entries))
	}
	if n := server.Counters().Dele; n != len(hard) {
		t.Errorf("%d DELE, want %d", n, len(hard))
	}
}

func TestDeleteCallbackEndsSession(t *testing.T) {
	enough := errors.New("enough")
	server := serve(t, popd.Options{}, "a\r\n", "b\r\n")
	m := dial(t, over(server))
	err := m.Delete(t.Context(), list(t, m), func(pop.Entry, error) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("Delete returned %v", err)
	}
	if err := m.Quit(t.Context()); err == nil {
		t.Error("QUIT would remove what was not confirmed")
	}
	server.Close()
	if len(texts(server)) != 2 {
		t.Error("something was removed")
	}
}

func TestS13Quit(t *testing.T) {
	o := popd.Options{KeepDeleted: true, Reply: replies(map[string]string{
		"QUIT": "-ERR some deleted messages not removed\r\n",
	})}
	t.Run("not removed", func(t *testing.T) {
		m := dial(t, over(serve(t, o, "a\r\n")))
		deleteAll(t, m, list(t, m))
		err := m.Quit(t.Context())
		wantFault(t, err, fault.Temporary, "some deleted messages not removed")
		if !errors.Is(err, pop.ErrNotRemoved) {
			t.Errorf("the cause is not ErrNotRemoved: %v", err)
		}
	})
	t.Run("nothing was deleted", func(t *testing.T) {
		err := dial(t, over(serve(t, o, "a\r\n"))).Quit(t.Context())
		if wantFault(t, err, fault.Temporary); errors.Is(err, pop.ErrNotRemoved) {
			t.Errorf("nothing was deleted: %v", err)
		}
	})
	t.Run("answer lost", func(t *testing.T) {
		var server *popd.Server
		server = serve(t, popd.Options{Reply: func(cmd string, _ int) ([]byte, bool) {
			if cmd == "QUIT" {
				server.Cut()
			}
			return nil, false
		}}, "a\r\n")
		m := dial(t, over(server))
		deleteAll(t, m, list(t, m))
		wantFault(t, m.Quit(t.Context()), fault.Temporary)
	})
	t.Run("the session is over", func(t *testing.T) {
		m := dial(t, over(serve(t, popd.Options{})))
		if err := m.Quit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.Noop(t.Context()) == nil {
			t.Error("NOOP works after QUIT")
		}
		m.Close()
		m.Close()
	})
}

func TestNoopAndResetRefused(t *testing.T) {
	m := dial(t, over(serve(t, popd.Options{Reply: replies(map[string]string{
		"NOOP": "-ERR no\r\n", "RSET": "-ERR [SYS/PERM] no\r\n",
	})})))
	wantFault(t, m.Noop(t.Context()), fault.Temporary, "NOOP refused")
	wantFault(t, m.Reset(t.Context()), fault.Refused, "RSET refused")
}
