//go:build !race

package steps_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/internal/mailtest/voyage"
	"github.com/popferry/popferry/plan"
)

// bySubject routes what has this subject.
func bySubject(pattern, folder string) plan.Route {
	return plan.Route{Folder: folder, Match: plan.Criteria{
		Fields: []plan.FieldMatch{{Key: "subject", Pattern: pattern}}}}
}

// byAge routes what is older than a day.
func byAge(folder string) plan.Route {
	return plan.Route{Folder: folder, Match: plan.Criteria{OlderThan: 24 * time.Hour}}
}

// manyRoutes lead letters to two folders and old mail to one for each month.
func manyRoutes() []plan.Route {
	return []plan.Route{bySubject("*1", "Lists/One"), bySubject("*2", "Lists/Two"), byAge("Archive/{year}/{month}")}
}

func withRoutes(routes ...plan.Route) func(*voyage.World) {
	return func(w *voyage.World) {
		for i := range w.Config.Accounts {
			w.Config.Accounts[i].Routes = routes
		}
	}
}

// manyMonths makes letters of several months.
func manyMonths(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "Received: from a by b; Tue, 03 %s %d 05:06:07 +0000\r\nMessage-ID: <%d@months.example.org>\r\n"+
			"Subject: month %d\r\n\r\nText of month %d.\r\n", time.Month(1 + i%2).String()[:3], 2024+i%3/2, i, i, i)
	}
	return all
}

// routings vary where mail goes.
func routings() []scenario {
	all := join(letters(0, 4), manyMonths(4), notes(2))
	change := func(routes ...plan.Route) func(*voyage.World) { return withRoutes(routes...) }
	reversed := slices.Clone(manyRoutes())
	slices.Reverse(reversed)
	return []scenario{
		{name: "two folders", mail: join(letters(0, 5), notes(1)),
			setup: withRoutes(bySubject("*1", "Lists/One"), bySubject("letter*", "Lists"))},
		{name: "a folder for each month", mail: manyMonths(6), setup: withRoutes(byAge("Archive/{year}/{month}"))},
		{name: "many folders", mail: all, setup: withRoutes(manyRoutes()...)},
		{name: "many folders, no MULTIAPPEND, no LITERAL+", mail: all, setup: withRoutes(manyRoutes()...),
			options: withImap(func(o *imapd.Options) { o.Literals, o.NoMultiAppend = imapd.LiteralSync, true })},
		{name: "many folders, no TOP, behind a prefix", mail: all, setup: withRoutes(manyRoutes()...),
			options: func(o *voyage.Options) { o.Pop.NoTOP, o.Imap.Prefix = true, "INBOX." }},
		{name: "many folders, two batches", mail: join(letters(0, 60), manyMonths(60)), sample: few,
			setup: withRoutes(manyRoutes()...)},
		{name: "routes are turned round after the death", mail: all, setup: withRoutes(manyRoutes()...),
			between: change(reversed...)},
		{name: "the routes of new mail are turned round after the death", mail: all, prior: true,
			setup:   withRoutes(manyRoutes()...),
			after:   func(w *voyage.World) { w.Arrive(0, join(letters(10, 4), manyMonths(8)[4:])...) },
			between: change(reversed...)},
		{name: "no routes any more after the death", mail: all, setup: withRoutes(manyRoutes()...), between: change()},
		{name: "routes for the first time", mail: all, prior: true, after: func(w *voyage.World) {
			withRoutes(manyRoutes()...)(w)
			w.Arrive(0, letters(10, 3)...)
		}},
		{name: "identical copies in several folders", mail: join(copies(letter(1), 2), copies(note(1), 2)),
			setup: func(w *voyage.World) {
				withRoutes(bySubject("letter*", "Lists"))(w)
				w.Prefill("INBOX", letter(1))
			}},
		{name: "some of it is in other folders", mail: letters(0, 4), setup: func(w *voyage.World) {
			withRoutes(manyRoutes()...)(w)
			w.Prefill("INBOX", letter(1))
			w.Prefill("Lists/One", letter(0))
			w.Prefill("Archive/2020/01", letter(2))
		}},
		{name: "UIDVALIDITY of a routed folder changes after the death", mail: letters(0, 4),
			setup: func(w *voyage.World) {
				withRoutes(bySubject("letter*", "Lists"))(w)
				w.Prefill("Lists", letters(50, 1)...)
			},
			between: func(w *voyage.World) { w.Imap.User("").SetUIDValidity("Lists", 77777) }},
		{name: "UIDVALIDITY of routed folders changes before", mail: join(letters(0, 4), notes(1)), prior: true,
			setup: withRoutes(bySubject("*1", "Lists/One"), bySubject("letter*", "Lists")),
			after: func(w *voyage.World) {
				w.Imap.User("").SetUIDValidity("Lists", 77777)
				w.Imap.User("").SetUIDValidity("Lists/One", 88888)
				w.Arrive(0, letters(10, 2)...)
			}},
		{name: "routes, and UIDLs renumbered before", mail: letters(0, 4), prior: true, only: needsUIDL,
			setup: func(w *voyage.World) {
				withRoutes(manyRoutes()...)(w)
				w.Drops[0].Configure(func(o *popd.Options) {
					o.UIDL = func(_ int, raw []byte) string { return "old" + subjectNumber(raw) }
				})
			},
			after: func(w *voyage.World) {
				withRoutes(reversed...)(w)
				w.Drops[0].Configure(func(o *popd.Options) {
					o.UIDL = func(_ int, raw []byte) string { return "new" + subjectNumber(raw) }
				})
				w.Arrive(0, letters(10, 1)...)
			}},
		{name: "journal lost after the death, and the routes turned round", mail: all, settled: true,
			setup: withRoutes(manyRoutes()...), between: func(w *voyage.World) {
				w.Forget()
				withRoutes(reversed...)(w)
			}},
		{name: "journal lost before, and the routes turned round, no TOP", mail: all, prior: true,
			options: withPop(func(o *popd.Options) { o.NoTOP = true }),
			setup:   withRoutes(manyRoutes()...), after: func(w *voyage.World) {
				w.Forget()
				withRoutes(reversed...)(w)
				w.Arrive(0, letters(10, 2)...)
			}},
		{name: "two accounts that share folders", mail: letters(0, 3),
			options: func(o *voyage.Options) { o.Maildrops = 2 },
			setup: func(w *voyage.World) {
				withRoutes(bySubject("*1", "Lists/One"), bySubject("*2", "INBOX"))(w)
				w.Config.Accounts[1].Folder = "Lists/One"
				w.Arrive(1, letters(1, 3)...)
			}},
	}
}
