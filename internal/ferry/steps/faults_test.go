//go:build !race

package steps_test

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// refusing is a destination that refuses what has a text in it.
func refusing(text, reply string) func([]byte) string {
	return func(raw []byte) string {
		if bytes.Contains(raw, []byte(text)) {
			return reply
		}
		return ""
	}
}

func refuse(text, reply string) func(*voyage.Options) {
	return withImap(func(o *imapd.Options) { o.Refuse = refusing(text, reply) })
}

// refusals have a destination that does not take everything.
func refusals() []scenario {
	heldLetter := func(n int) func(*voyage.World) {
		return func(w *voyage.World) { w.Undeliverable(letter(n)) }
	}
	return []scenario{
		{name: "one refused in the middle of a batch", mail: letters(0, 5), code: fault.Held, left: 1,
			options: refuse("Text of letter 2.", "NO [CANNOT] no"), setup: heldLetter(2)},
		{name: "one refused, no MULTIAPPEND", mail: letters(0, 5), code: fault.Held, left: 1,
			options: func(o *voyage.Options) {
				refuse("Text of letter 2.", "NO no")(o)
				o.Imap.NoMultiAppend = true
			}, setup: heldLetter(2)},
		{name: "one refused, and QUIT removes what was retrieved", mail: letters(0, 3), code: fault.Held, left: 1,
			options: func(o *voyage.Options) {
				refuse("Text of letter 2.", "NO no")(o)
				o.Pop.ExpireAtOnce = true
			}, setup: heldLetter(2)},
		{name: "all refused", mail: letters(0, 2), code: fault.Held, left: 2,
			options: refuse("Text of letter", "BAD no"),
			setup:   func(w *voyage.World) { w.Undeliverable(letters(0, 2)...) }},
		{name: "refused and wrapped", mail: letters(0, 3), left: 1,
			options: func(o *voyage.Options) {
				refuse("Text of letter 1.", "NO [CANNOT] no")(o)
				o.Form = voyage.Unwrapped
			},
			setup: func(w *voyage.World) { w.Config.Accounts[0].Repair = "wrap" }},
		{name: "one over APPENDLIMIT", mail: join(letters(0, 2), [][]byte{big(2, 5000)}), code: fault.Held, left: 1,
			options: withImap(func(o *imapd.Options) { o.AppendLimit = 4000 }),
			setup:   func(w *voyage.World) { w.Undeliverable(big(2, 5000)) }},
		{name: "one empty message", mail: join(letters(0, 2), [][]byte{{}}), code: fault.Held, left: 1,
			setup: func(w *voyage.World) { w.Undeliverable([]byte{}) }},
		{name: "one that POP3 does not give", mail: letters(0, 3), code: fault.Held, left: 1,
			options: withPop(func(o *popd.Options) { o.Refuse = map[int]string{2: "no such thing"} }),
			setup:   heldLetter(1),
			// Its number would be another one once others are deleted.
			only: func(c combination) bool { return !c.delete }},
		{name: "quota in the middle", mail: letters(0, 4),
			options: withImap(func(o *imapd.Options) { o.Quota = 700 }),
			between: func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.Quota = 1 << 20 }) }},
		{name: "quota in the middle, no MULTIAPPEND", mail: letters(0, 4),
			options: withImap(func(o *imapd.Options) { o.Quota, o.NoMultiAppend = 700, true }),
			between: func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.Quota = 1 << 20 }) }},
	}
}

// breaks have connections that end, once, beside the death of the program.
func breaks() []scenario {
	appending := func(name string, stage imapd.Stage, a imapd.Action) scenario {
		return scenario{name: name, mail: letters(0, 3), patience: 15 * time.Minute,
			setup: first(stage, "APPEND", a)}
	}
	late := appending("cut, and stored a minute later", imapd.AtStore,
		imapd.Action{StoreAfter: time.Minute, Cut: imapd.FIN})
	single := appending("single appends, cut after the second is stored", imapd.AtReply,
		imapd.Action{Cut: imapd.FIN})
	single.options = withImap(func(o *imapd.Options) { o.NoMultiAppend = true })
	courier := appending("stored at the last octet of the literal, and cut", imapd.AtLiteral,
		imapd.Action{Cut: imapd.FIN})
	courier.options = withImap(func(o *imapd.Options) { o.StoreAtLiteral, o.NoMultiAppend = true, true })
	twice := appending("cut three times before the answer", imapd.AtStore, imapd.Action{Cut: imapd.FIN})
	twice.setup = times(2, imapd.AtStore, "APPEND", imapd.Action{Cut: imapd.FIN})
	copied := appending("identical copies, cut after storing", imapd.AtReply, imapd.Action{Cut: imapd.FIN})
	copied.mail = join(copies(letter(0), 3), notes(1), notes(1))
	return []scenario{
		appending("BYE at an append", imapd.AtCommand, imapd.Action{Bye: "autologout"}),
		appending("BYE in the middle of an append", imapd.AtLiteral, imapd.Action{Bye: "shutting down"}),
		appending("cut before a literal is complete", imapd.AtCommand, imapd.Action{Cut: imapd.FIN}),
		appending("cut after the last octet, not stored", imapd.AtStore, imapd.Action{Cut: imapd.FIN}),
		appending("cut after the last octet, stored", imapd.AtReply, imapd.Action{Cut: imapd.RST}),
		appending("silent after storing", imapd.AtReply, imapd.Action{Silent: true}),
		late, single, courier, twice, copied,
		{name: "cut when the folder is opened", mail: letters(0, 2),
			setup: first(imapd.AtReply, "EXAMINE", imapd.Action{Cut: imapd.FIN}), between: noImapReply},
		{name: "cut while reading back", mail: letters(0, 3),
			setup: first(imapd.AtReply, "UID FETCH", imapd.Action{Cut: imapd.FIN})},
	}
}

// expires has POP3 servers that remove what was retrieved once a session ends in
// QUIT (RFC 2449 §6.7, EXPIRE 0).
func expires() []scenario {
	appending := func(name string, stage imapd.Stage, a imapd.Action) scenario {
		return scenario{name: name, mail: letters(0, 3), patience: 15 * time.Minute,
			setup: func(w *voyage.World) {
				expireRetrieved(w)
				first(stage, "APPEND", a)(w)
			}}
	}
	return []scenario{
		{name: "EXPIRE 0", mail: letters(0, 3), setup: expireRetrieved},
		{name: "EXPIRE 0, and a full destination", mail: letters(0, 4), setup: expireRetrieved,
			options: withImap(func(o *imapd.Options) { o.Quota, o.NoMultiAppend = 500, true }),
			between: func(w *voyage.World) { w.Imap.Configure(func(o *imapd.Options) { o.Quota = 1 << 20 }) }},
		appending("EXPIRE 0, and a cut before the answer", imapd.AtStore, imapd.Action{Cut: imapd.FIN}),
		appending("EXPIRE 0, and a destination out of order", imapd.AtStore, imapd.Action{Reply: "NO [UNAVAILABLE] later"}),
	}
}

func expireRetrieved(w *voyage.World) {
	var mu sync.Mutex
	var retrieved [][]byte
	setReply(w, func(cmd string, n int) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		drop := w.Drops[0].Messages()
		switch {
		case cmd == "GREETING":
			retrieved = nil
		case cmd == "RETR" && n > 0 && n <= len(drop):
			retrieved = append(retrieved, drop[n-1])
		case cmd == "QUIT":
			for _, raw := range retrieved {
				if at := slices.IndexFunc(w.Drops[0].Messages(), func(m []byte) bool {
					return bytes.Equal(m, raw)
				}); at >= 0 {
					w.Drops[0].Expunge(at + 1)
				}
			}
		}
		return nil, false
	})
}

func onQuit(reply func(w *voyage.World) []byte) func(*voyage.World) {
	return func(w *voyage.World) {
		w.Drops[0].Configure(func(o *popd.Options) {
			o.Reply = func(cmd string, _ int) ([]byte, bool) { return reply(w), cmd == "QUIT" }
		})
	}
}

func obedient(w *voyage.World) {
	w.Drops[0].Configure(func(o *popd.Options) { o.Reply = nil })
}

// deletions have trouble with them.
func deletions() []scenario {
	deletes := func(c combination) bool { return c.delete }
	month := plan.Keep{Delete: true, For: 30 * 24 * time.Hour}
	return []scenario{
		{name: "kept for 30 days", mail: letters(0, 3), prior: true, only: deletes,
			options: func(o *voyage.Options) { o.Keep = month },
			after:   func(*voyage.World) { time.Sleep(31 * 24 * time.Hour) }},
		{name: "kept for 30 days, not yet over", mail: letters(0, 3), prior: true, only: deletes, left: 3,
			options: func(o *voyage.Options) { o.Keep = month },
			after:   func(*voyage.World) { time.Sleep(29 * 24 * time.Hour) }},
		{name: "deletion wished for later", mail: letters(0, 3), prior: true, only: deletes,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, after: deleteFromNow},
		{name: "no word for the first deletion", mail: letters(0, 2), only: deletes, left: 2, code: fault.Held,
			setup: func(w *voyage.World) { w.Tune = func(o *ferry.Options) { o.ConfirmDelete = false } }},
		{name: "QUIT without an answer", mail: letters(0, 3), only: deletes,
			setup: onQuit(func(*voyage.World) []byte { return nil }), between: obedient},
		{name: "QUIT refused", mail: letters(0, 3), only: deletes,
			setup: onQuit(func(*voyage.World) []byte {
				return []byte("-ERR some deleted messages not removed\r\n")
			}), between: obedient},
		{name: "QUIT that deletes nothing", mail: letters(0, 3), only: deletes,
			options: withPop(func(o *popd.Options) { o.KeepDeleted = true }),
			between: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.KeepDeleted = false })
			}},
		{name: "a copy vanished before its deletion", mail: letters(0, 3), prior: true, only: deletes, left: 1,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			after: func(w *voyage.World) {
				w.Imap.User("").Expunge("INBOX", 2)
				w.Undeliverable(letter(1)) // it was delivered, and is not again
				deleteFromNow(w)
			}},
		{name: "copies moved to another folder before deletion", mail: letters(0, 3), prior: true,
			only: deletes, left: 3, options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			after: func(w *voyage.World) {
				for _, m := range w.Imap.Mailbox("INBOX") {
					if _, err := w.Imap.User("").Move("INBOX", m.UID, "Sorted"); err != nil {
						panic(err)
					}
				}
				deleteFromNow(w)
			}},
		{name: "another message than before is not given before the deletion", mail: notes(2),
			options: withPop(func(o *popd.Options) { o.NoTOP = true }), setup: notGiven(2, 3), between: obedient,
			only: func(c combination) bool { return c.delete && !c.uidl }},
		{name: "no TOP to look before a deletion", mail: letters(0, 3), only: deletes,
			options: withPop(func(o *popd.Options) { o.NoTOP = true })},
	}
}

// notGiven has the server refuse some of the RETRs, counted from 1.
func notGiven(which ...int) func(*voyage.World) {
	return func(w *voyage.World) {
		var retrs atomic.Int32
		setReply(w, func(cmd string, _ int) ([]byte, bool) {
			refused := cmd == "RETR" && slices.Contains(which, int(retrs.Add(1)))
			return []byte("-ERR not now\r\n"), refused
		})
	}
}

func deleteFromNow(w *voyage.World) { w.Config.Accounts[0].Keep = plan.Keep{Delete: true} }

// losses have the journal lost, or come back from a time before.
func losses() []scenario {
	forget := func(w *voyage.World) { w.Forget() }
	return []scenario{
		{name: "journal lost after the death", mail: join(letters(0, 3), copies(note(1), 2)),
			settled: true, between: forget},
		{name: "journal lost before", mail: join(letters(0, 3), copies(note(1), 2)), prior: true,
			after: func(w *voyage.World) {
				w.Forget()
				w.Arrive(0, letters(10, 1)...)
			}},
		{name: "journal lost, no TOP", mail: join(letters(0, 3), notes(1)), prior: true, after: forget,
			options: withPop(func(o *popd.Options) { o.NoTOP = true })},
		{name: "journal lost, and a server that adds header fields", mail: join(letters(0, 3), notes(1)),
			prior: true, after: forget, options: func(o *voyage.Options) {
				o.Imap.Transform, o.Form = imapd.AddStatus, withoutStatus
			}},
		{name: "journal lost, and another body under the header of a message that is gone", mail: sameIDAndSize(2)[:1],
			prior: true, after: func(w *voyage.World) {
				w.Forget()
				w.Arrive(0, sameIDAndSize(2)[1])
				quietly(w) // finds out, when it reads it to delete it
			}, only: func(c combination) bool { return c.delete }},
		{name: "journal lost before the wish to delete", mail: join(letters(0, 3), notes(1)), prior: true,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			after:   func(w *voyage.World) { w.Forget(); deleteFromNow(w) },
			only:    func(c combination) bool { return c.delete }},
		{name: "journal lost, then UIDVALIDITY changes before the wish to delete",
			mail: join(letters(0, 3), notes(1)), prior: true,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} },
			after: func(w *voyage.World) {
				w.Forget()
				quietly(w) // recognises all of it by the headers
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				deleteFromNow(w)
			}, only: func(c combination) bool { return c.delete }},
	}
}

// together have two things happen, each of which is ordinary, in different phases, beside the
// death of the program.
func together() []scenario {
	stored := first(imapd.AtReply, "APPEND", imapd.Action{Cut: imapd.FIN})
	both := func(w *voyage.World) {
		falls(cut, "RETR", 2, 1, "+OK\r\nReceived: from a by b\r\n")(w)
		stored(w)
	}
	return []scenario{
		{name: "one refused, and a cut after the others are stored", mail: letters(0, 4), code: fault.Held, left: 1,
			options: refuse("Text of letter 2.", "NO [CANNOT] no"), patience: 15 * time.Minute,
			setup: func(w *voyage.World) {
				w.Undeliverable(letter(2))
				stored(w)
			}},
		{name: "cuts of both servers", mail: letters(0, 4), patience: 15 * time.Minute, setup: both},
		{name: "many folders, and cuts of both servers", mail: join(letters(0, 4), manyMonths(2), notes(1)),
			patience: 15 * time.Minute, setup: func(w *voyage.World) {
				withRoutes(manyRoutes()...)(w)
				both(w)
			}},
		{name: "two accounts with the same mail, and a cut after it is stored", mail: letters(0, 3),
			patience: 15 * time.Minute, options: func(o *voyage.Options) { o.Maildrops = 2 },
			setup: func(w *voyage.World) {
				w.Arrive(1, letters(0, 3)...)
				stored(w)
			}},
		{name: "a full destination, and one refused when it has room", mail: letters(0, 4), code: fault.Held, left: 1,
			options: withImap(func(o *imapd.Options) { o.Quota = 500 }),
			setup:   func(w *voyage.World) { w.Undeliverable(letter(3)) },
			between: func(w *voyage.World) {
				w.Imap.Configure(func(o *imapd.Options) {
					o.Quota, o.Refuse = 1<<20, refusing("Text of letter 3.", "NO [CANNOT] no")
				})
			}},
		{name: "UIDVALIDITY changes after the death, and a cut while looking", mail: join(letters(0, 3), notes(1)),
			between: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				first(imapd.AtReply, "UID FETCH", imapd.Action{Cut: imapd.FIN})(w)
			}},
		{name: "journal lost after the death, and a cut after an append is stored", settled: true,
			mail: join(letters(0, 3), copies(note(1), 2)), patience: 15 * time.Minute,
			between: func(w *voyage.World) {
				w.Forget()
				w.Arrive(0, letters(10, 2)...)
				stored(w)
			}},
	}
}
