//go:build !race

package steps_test

import (
	"strings"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// scenarios lists all of them.
func scenarios() []scenario {
	var all []scenario
	for _, group := range [][]scenario{
		amounts(), identities(), names(), changes(), destinations(), abilities(), refusals(),
		breaks(), expires(), deletions(), losses(), routings(), together(),
	} {
		all = append(all, group...)
	}
	return all
}

// amounts vary how much there is: a batch holds 100 messages.
func amounts() []scenario {
	return []scenario{
		{name: "no messages"},
		{name: "one message", mail: letters(0, 1)},
		{name: "five messages", mail: letters(0, 5)},
		{name: "a full batch", mail: letters(0, 100), sample: few},
		{name: "a batch and one", mail: letters(0, 101), sample: few},
		{name: "250 messages", mail: letters(0, 250), sample: few},
		{name: "messages larger than a spool in memory", mail: join(letters(0, 1), [][]byte{big(1, 1100<<10)}),
			sample: few},
	}
}

// identities vary what tells messages apart.
func identities() []scenario {
	return []scenario{
		{name: "no Message-IDs", mail: notes(4)},
		{name: "one Message-ID for all", mail: sameID(4)},
		{name: "one Message-ID and one size for all", mail: sameIDAndSize(4)},
		{name: "another body under the header of a message that is gone", mail: sameHeader(0, 3), prior: true,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, after: exchangeFirst,
			only: func(c combination) bool { return !c.delete }},
		{name: "another body under the header of a message that is gone, no TOP", mail: sameHeader(0, 3),
			prior: true, after: exchangeFirst, only: func(c combination) bool { return !c.delete },
			options: withPop(func(o *popd.Options) { o.NoTOP = true })},
		{name: "another body under the header of a message whose own is refused", mail: sameIDAndSize(1),
			prior: true, only: func(c combination) bool { return !c.uidl && !c.delete },
			after: func(w *voyage.World) {
				w.Arrive(0, sameIDAndSize(2)[1])
				setReply(w, func(cmd string, n int) ([]byte, bool) {
					return []byte("-ERR not now\r\n"), cmd == "TOP" && n == 1
				})
			}},
		{name: "another body under the header of a message that has a UIDL by now",
			mail: join(sameIDAndSize(1), letters(0, 1)), prior: true,
			only:  func(c combination) bool { return c.uidl && !c.delete },
			setup: uidls("", "two"),
			after: func(w *voyage.World) {
				w.Arrive(0, sameIDAndSize(2)[1])
				uidls("one", "two", "")(w)
			}},
		{name: "identical copies", mail: join(letters(0, 2), letters(0, 2), letters(0, 1))},
		{name: "identical copies without Message-ID", mail: join(notes(2), notes(2))},
		{name: "identical copies in two batches", mail: copies(letter(0), 120), sample: few},
		{name: "identical copies, some delivered before", mail: copies(letter(0), 2), prior: true,
			after: func(w *voyage.World) { w.Arrive(0, copies(letter(0), 2)...) }, only: needsUIDL},
		{name: "a copy arrives after the death", mail: letters(0, 2), only: needsUIDL,
			between: func(w *voyage.World) { w.Arrive(0, letter(0)) }},
		{name: "a copy arrives after UIDVALIDITY changed", mail: join(letters(0, 2), notes(2)), prior: true,
			after: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				w.Arrive(0, letter(1), note(0))
			}, only: needsUIDL},
		{name: "identical copies, some delivered long before", mail: copies(letter(0), 2), prior: true,
			after: func(w *voyage.World) {
				quietly(w)
				quietly(w)
				w.Arrive(0, copies(letter(0), 2)...)
			}},
		{name: "hard mail", mail: hardMail("D2", "D3", "D4", "D5"), sample: few},
	}
}

// uidls gives the messages their names, in the order of their numbers.
func uidls(names ...string) func(*voyage.World) {
	return func(w *voyage.World) {
		w.Drops[0].Configure(func(o *popd.Options) {
			o.UIDL = func(n int, _ []byte) string { return names[n-1] }
		})
	}
}

// exchangeFirst has the first message taken away and a similar one arrive.
func exchangeFirst(w *voyage.World) {
	w.TakeAway(0, 1)
	w.Arrive(0, sameHeader(7, 1)...)
}

// names vary the UIDLs.
func names() []scenario {
	uidl := func(fn func(n int, raw []byte) string) func(*voyage.World) {
		return func(w *voyage.World) {
			w.Drops[0].Configure(func(o *popd.Options) { o.UIDL = fn })
		}
	}
	bySubject := func(prefix string) func(int, []byte) string {
		return func(_ int, raw []byte) string { return prefix + subjectNumber(raw) }
	}
	return []scenario{
		{name: "repeated UIDLs", mail: letters(0, 5), only: needsUIDL,
			options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{name: "repeated UIDLs of identical copies", mail: copies(letter(0), 4), only: needsUIDL,
			options: withPop(func(o *popd.Options) { o.DuplicateUIDLs = true })},
		{name: "one UIDL for all", mail: letters(0, 4), only: needsUIDL,
			setup: uidl(func(int, []byte) string { return "same" })},
		{name: "some without UIDL", mail: letters(0, 5), only: needsUIDL,
			setup: uidl(func(n int, raw []byte) string {
				if n%2 == 0 {
					return ""
				}
				return "u" + subjectNumber(raw)
			})},
		{name: "unusable UIDLs", mail: letters(0, 4), only: needsUIDL,
			setup: uidl(func(n int, raw []byte) string {
				return []string{strings.Repeat("long", 400), "\x01\x02", "ünï", "../../etc/passwd"}[n%4]
			})},
		{name: "UIDLs renumbered after the death", mail: letters(0, 4), only: needsUIDL,
			setup: uidl(bySubject("old")), between: uidl(bySubject("new"))},
		{name: "UIDLs renumbered before", mail: letters(0, 4), prior: true, only: needsUIDL,
			setup: uidl(bySubject("old")), after: func(w *voyage.World) {
				uidl(bySubject("new"))(w)
				w.Arrive(0, letters(10, 1)...)
			}},
		{name: "UIDLs renumbered, and one message is not given", mail: letters(0, 3), prior: true,
			only: func(c combination) bool { return c.uidl && !c.delete }, options: func(o *voyage.Options) {
				o.Pop.NoTOP = true
			},
			setup: uidl(bySubject("old")), after: func(w *voyage.World) {
				w.Drops[0].Configure(func(o *popd.Options) { o.Refuse = map[int]string{1: "not now"} })
				uidl(bySubject("new"))(w)
				quietly(w)
				w.Drops[0].Configure(func(o *popd.Options) { o.Refuse = nil })
			}},
		{name: "UIDLs renumbered after QUIT was refused, no TOP", mail: letters(0, 4), prior: true,
			only: func(c combination) bool { return c.uidl && c.delete }, options: func(o *voyage.Options) {
				o.Pop.NoTOP = true
			},
			setup: func(w *voyage.World) {
				onQuit(func(*voyage.World) []byte { return []byte("-ERR not now\r\n") })(w)
				uidl(bySubject("old"))(w)
			},
			after: func(w *voyage.World) { obedient(w); uidl(bySubject("new"))(w) }},
		{name: "UIDLs renumbered after DELE was refused", mail: letters(0, 4), prior: true,
			only: func(c combination) bool { return c.uidl && c.delete },
			setup: func(w *voyage.World) {
				uidl(bySubject("old"))(w)
				setReply(w, func(cmd string, n int) ([]byte, bool) {
					return []byte("-ERR not now\r\n"), cmd == "DELE" && n == 2
				})
			},
			after: func(w *voyage.World) { obedient(w); uidl(bySubject("new"))(w) }},
		{name: "no UIDLs for a while, after an append was refused", mail: letters(0, 1), prior: true, sample: 200,
			only: func(c combination) bool { return c.uidl && !c.uidplus },
			setup: imapReply(func(e imapd.Event) imapd.Action {
				return imapd.Action{Reply: map[string]string{"APPEND": "NO [UNAVAILABLE] later"}[e.Command]}
			}),
			after: func(w *voyage.World) {
				noImapReply(w)
				setReply(w, func(cmd string, _ int) ([]byte, bool) { return []byte("-ERR no\r\n"), cmd == "UIDL" })
			}, between: obedient},
		{name: "UIDLs exchanged", mail: sizes(4), prior: true,
			only:    func(c combination) bool { return c.uidl && !c.delete },
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, setup: uidl(bySubject("x")),
			after: func(w *voyage.World) { uidl(exchanged)(w) }},
		{name: "UIDLs exchanged, then deleted", mail: sizes(4), prior: true, only: needsUIDL,
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, setup: uidl(bySubject("x")),
			after: func(w *voyage.World) { uidl(exchanged)(w); deleteFromNow(w) }},
		// Nobody can know without reading all, but the look before a deletion does.
		{name: "UIDLs exchanged between messages of one size", mail: letters(0, 4), prior: true, left: 2,
			only:    func(c combination) bool { return c.uidl && c.delete },
			options: func(o *voyage.Options) { o.Keep = plan.Keep{} }, setup: uidl(bySubject("x")),
			after: func(w *voyage.World) { uidl(exchanged)(w); deleteFromNow(w) }},
		{name: "UIDL reused for mail of another size", mail: sizes(3), prior: true, only: needsUIDL,
			setup: uidl(func(n int, _ []byte) string { return "place" + string(rune('0'+n)) }),
			after: func(w *voyage.World) {
				if len(w.Drops[0].Messages()) > 0 {
					w.TakeAway(0, 1)
				}
				w.Arrive(0, big(10, 900))
			}},
		{name: "UIDL reused after UIDVALIDITY changed, then a copy of the mail that had it", mail: sizes(2),
			prior: true, only: func(c combination) bool { return c.uidl && c.delete },
			setup: uidl(bySubject("x")), after: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				uidl(func(_ int, raw []byte) string {
					return map[string]string{"0": "copy", "10": "x0"}[subjectNumber(raw)]
				})(w)
				w.Arrive(0, big(10, 900))
				quietly(w)
				w.Arrive(0, sizes(1)...)
			}},
	}
}

// exchanged gives letter 0 the UIDL of letter 1 and the reverse.
func exchanged(_ int, raw []byte) string {
	return "x" + strings.NewReplacer("0", "1", "1", "0").Replace(subjectNumber(raw))
}

// changes vary what happens beside the program.
func changes() []scenario {
	return []scenario{
		{name: "mail arrives after the death", mail: letters(0, 3),
			between: func(w *voyage.World) { w.Arrive(0, letters(10, 2)...) }},
		{name: "mail arrives after a run", mail: letters(0, 3), prior: true,
			after: func(w *voyage.World) { w.Arrive(0, letters(10, 3)...) }},
		{name: "mail is taken away after the death", mail: letters(0, 4),
			between: func(w *voyage.World) {
				if len(w.Drops[0].Messages()) > 1 {
					w.TakeAway(0, 2)
				}
			}},
		{name: "messages change their numbers", mail: letters(0, 4),
			between: func(w *voyage.World) {
				if len(w.Drops[0].Messages()) == 4 {
					w.Drops[0].Shuffle(4, 2, 1, 3)
				}
			}},
		{name: "two accounts into one folder", mail: letters(0, 3),
			options: func(o *voyage.Options) { o.Maildrops = 2 },
			setup:   func(w *voyage.World) { w.Arrive(1, letters(10, 3)...) }},
		{name: "two accounts with the same mail", mail: letters(0, 3),
			options: func(o *voyage.Options) { o.Maildrops = 2 },
			setup:   func(w *voyage.World) { w.Arrive(1, letters(0, 3)...) }},
	}
}

// destinations vary what is in the destination, or happens there.
func destinations() []scenario {
	inFolder := func(name string) func(*voyage.World) {
		return func(w *voyage.World) { w.Config.Accounts[0].Folder = name }
	}
	return []scenario{
		{name: "some of it is there", mail: letters(0, 4),
			setup: func(w *voyage.World) { w.Prefill("INBOX", letters(1, 2)...) }},
		{name: "one of identical copies is there", mail: copies(letter(0), 3),
			setup: func(w *voyage.World) { w.Prefill("INBOX", letter(0)) }},
		{name: "foreign mail is there", mail: letters(0, 3),
			setup: func(w *voyage.World) { w.Prefill("INBOX", letters(50, 3)...) }},
		{name: "foreign mail with the same Message-IDs", mail: sameID(3),
			setup: func(w *voyage.World) { w.Prefill("INBOX", sameID(5)[3:]...) }},
		{name: "foreign mail arrives", mail: notes(3),
			between: func(w *voyage.World) { w.Prefill("INBOX", letters(50, 2)...) }},
		{name: "a folder that does not exist", mail: letters(0, 3), setup: inFolder("Archive/Old mail")},
		{name: "a folder behind a prefix", mail: letters(0, 3), setup: inFolder("Archive/Ünïcode"),
			options: withImap(func(o *imapd.Options) { o.Prefix = "INBOX." })},
		{name: "UIDVALIDITY changes after the death", mail: letters(0, 4),
			between: func(w *voyage.World) { w.Imap.User("").SetUIDValidity("INBOX", 77777) }},
		{name: "UIDVALIDITY changes before", mail: letters(0, 3), prior: true,
			after: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				w.Arrive(0, letters(10, 2)...)
			}},
		{name: "UIDVALIDITY changes, and foreign mail without Message-ID has the size of ours",
			mail: notes(2)[1:], prior: true,
			setup: func(w *voyage.World) { w.Prefill("INBOX", notes(1)...) },
			after: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("INBOX", 77777)
				w.Arrive(0, notes(1)...)
			}},
	}
}

// abilities vary what the servers can do.
func abilities() []scenario {
	pop := func(name string, change func(*popd.Options)) scenario {
		return scenario{name: name, mail: letters(0, 4), options: withPop(change)}
	}
	imap := func(name string, change func(*imapd.Options)) scenario {
		return scenario{name: name, mail: letters(0, 4), options: withImap(change)}
	}
	nul := imap("NUL and bare LF, NUL stored as 0x80", func(o *imapd.Options) { o.Transform = imapd.NULTo80 })
	nul.mail = hardMail("D6", "D8")
	nul.sample = few
	status := scenario{name: "a server that adds header fields", mail: join(letters(0, 3), notes(2)),
		options: func(o *voyage.Options) {
			o.Imap.Transform, o.Form = imapd.AddStatus, withoutStatus
		}}
	return []scenario{
		pop("no PIPELINING", func(o *popd.Options) { o.NoPipelining = true }),
		pop("no TOP", func(o *popd.Options) { o.NoTOP = true }),
		pop("no CAPA", func(o *popd.Options) { o.NoCAPA = true }),
		pop("LIST is wrong about sizes", func(o *popd.Options) { o.SizeOffset = -7 }),
		pop("one session at a time", func(o *popd.Options) { o.Exclusive = true }),
		imap("no MULTIAPPEND", func(o *imapd.Options) { o.NoMultiAppend = true }),
		imap("LITERAL-", func(o *imapd.Options) { o.Literals = imapd.LiteralMinus }),
		imap("no LITERAL+", func(o *imapd.Options) { o.Literals = imapd.LiteralSync }),
		imap("no LITERAL+, no MULTIAPPEND", func(o *imapd.Options) {
			o.Literals, o.NoMultiAppend = imapd.LiteralSync, true
		}),
		imap("stores at the last octet of a literal", func(o *imapd.Options) {
			o.StoreAtLiteral, o.NoMultiAppend = true, true
		}),
		nul, status,
	}
}
