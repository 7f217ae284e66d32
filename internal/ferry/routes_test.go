package ferry_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/ferry"
	"github.com/popferry/popferry/internal/mailtest/imapd"
	"github.com/popferry/popferry/internal/mailtest/popd"
	"github.com/popferry/popferry/plan"
)

// from makes a message of a sender, of a year.
func from(sender string, year, n int) []byte {
	return fmt.Appendf(nil, "Message-ID: <%s-%d-%d@example.org>\r\nFrom: %s@example.org\r\n"+
		"Date: Tue, 03 Mar %d 05:06:07 +0000\r\nSubject: number %d\r\n\r\nText %d.\r\n", sender, year, n, sender, year, n, n)
}

// route sends mail of a sender, or old mail for "", to a folder.
func route(sender, folder string) plan.Route {
	if sender == "" {
		return plan.Route{Match: plan.Criteria{OlderThan: 24 * time.Hour}, Folder: folder}
	}
	return plan.Route{Folder: folder, Match: plan.Criteria{
		Fields: []plan.FieldMatch{{Key: "from", Pattern: sender + "@example.org"}}}}
}

// routed is a pair whose account has routes, and mail for three folders.
func routed(t *testing.T, po popd.Options, io imapd.Options) (p *pair, byFolder map[string][][]byte) {
	t.Helper()
	byFolder = map[string][][]byte{}
	year := time.Now().Year()
	var mail [][]byte
	for n := range 6 {
		for folder, m := range map[string][]byte{
			"Lists/Go": from("go", 2001, n), "Lists/C": from("c", year+1, n), "Archive/2003": from("x", 2003, n),
			"Archive/2004": from("y", 2004, n), "INBOX": fmt.Appendf(nil, "Subject: undated %d\r\n\r\nx\r\n", n),
		} {
			mail = append(mail, m)
			byFolder[folder] = append(byFolder[folder], m)
		}
	}
	p = newPair(t, po, io, mail...)
	p.account().Routes = []plan.Route{route("go", "Lists/Go"), route("c", "Lists/C"), route("", "Archive/{year}")}
	return p, byFolder
}

// inFolders compares all folders of the destination with what they should have.
func (p *pair) inFolders(want map[string][][]byte) {
	p.t.Helper()
	got := map[string][]string{}
	for _, name := range p.imap.User("").Mailboxes() {
		for _, m := range p.imap.Mailbox(name) {
			got[name] = append(got[name], string(m.Raw))
		}
		slices.Sort(got[name])
	}
	all := map[string][]string{}
	for name, mail := range want {
		for _, m := range mail {
			all[name] = append(all[name], string(m))
		}
		slices.Sort(all[name])
	}
	if diff := cmp.Diff(all, got); diff != "" {
		p.t.Error(diff)
	}
}

// servers are what destinations with routes may be like.
var servers = map[string]imapd.Options{
	"plain": {}, "no UIDPLUS": {NoUIDPlus: true}, "prefix": {Prefix: "INBOX."},
	"singly": {NoMultiAppend: true, Literals: imapd.LiteralSync},
}

// named gives folders the names that they have on a server.
func named(io imapd.Options, byFolder map[string][][]byte) map[string][][]byte {
	out := map[string][][]byte{}
	for name, mail := range byFolder {
		if io.Prefix != "" && name != "INBOX" {
			name = io.Prefix + strings.ReplaceAll(name, "/", ".")
		}
		out[name] = mail
	}
	return out
}

// TestRoutes: mail goes where its route leads, and a second run, with the journal or
// without, copies nothing, even if the routes have changed meanwhile.
func TestRoutes(t *testing.T) {
	t.Parallel()
	for pop, po := range map[string]popd.Options{"UIDL": {}, "no UIDL": {NoUIDL: true}, "no TOP": {NoTOP: true}} {
		for name, io := range servers {
			t.Run(pop+", "+name, func(t *testing.T) {
				p, byFolder := routed(t, po, io)
				want := named(io, byFolder)
				r := p.run(0, 30)
				p.inFolders(want)
				if got := r.Accounts[0].Folders; len(got) != 5 || got[0].Delivered != 6 || got[0].Bytes == 0 {
					t.Errorf("folders in the report: %+v", got)
				}
				p.run(0, 0)
				slices.Reverse(p.account().Routes)
				p.run(0, 0)
				p.forget()
				p.run(0, 0)
				p.inFolders(want)
				p.account().Routes = p.account().Routes[:1] // {year}: what it does not fit is beyond it
				p.pop.Deliver(from("z", 2003, 77))
				p.run(0, 1)
				byFolder["Archive/2003"] = append(byFolder["Archive/2003"], from("z", 2003, 77))
				p.inFolders(named(io, byFolder))
				v := ferry.Verify(t.Context(), p.o)
				if v.ExitCode != 0 || v.Totals.Found != 31 {
					t.Errorf("verify: %+v", v)
				}
			})
		}
	}
}

// TestFoldersThatNothingGoesTo are neither made nor opened.
func TestFoldersThatNothingGoesTo(t *testing.T) {
	p, _ := routed(t, popd.Options{}, imapd.Options{})
	p.account().Routes = append([]plan.Route{route("nobody", "Nothing")}, p.account().Routes...)
	p.run(0, 30)
	if boxes := p.imap.User("").Mailboxes(); slices.Contains(boxes, "Nothing") || len(boxes) != 5 {
		t.Errorf("folders %q", boxes)
	}
	before := maps.Clone(p.imap.Counters().Commands)
	p.run(0, 0)
	p.pop.Deliver(from("go", 2001, 99))
	p.run(0, 1)
	now := p.imap.Counters().Commands
	// Each run opens INBOX; the second Lists/Go as well, before it looks into it.
	if n := now["EXAMINE"] - before["EXAMINE"]; n != 3 {
		t.Errorf("opened %d times", n)
	}
	if now["CREATE"] != before["CREATE"] || now["CREATE"] != 4 {
		t.Errorf("%d folders made", now["CREATE"])
	}
}

// TestAFolderThatIsRefused holds what is for it, delivers the rest, and is tried again
// by every run (I7).
func TestAFolderThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"CREATE", "APPEND"} {
		for name, io := range servers {
			t.Run(command+", "+name, func(t *testing.T) {
				p, byFolder := routed(t, popd.Options{}, io)
				p.imap.Configure(func(o *imapd.Options) {
					o.Reply = func(e imapd.Event) imapd.Action {
						if e.Stage == imapd.AtCommand && e.Command == command && strings.Contains(e.Line, "Go") {
							return imapd.Action{Reply: "NO [NOPERM] not here"}
						}
						return imapd.Action{}
					}
				})
				r := p.run(fault.Refused, 24)
				e := r.Accounts[0].Error
				if r.Totals.Held != 6 || !strings.Contains(e.Message, "6 messages for folder Lists/Go not delivered") ||
					!strings.Contains(e.Message, "NOPERM") || e.Hint == "" {
					t.Errorf("%+v, %+v", r.Totals, e)
				}
				for _, m := range r.Accounts[0].Messages {
					if !strings.Contains(m.Reason, "its folder can't be used") {
						t.Errorf("held: %s", m.Reason)
					}
				}
				p.run(fault.Refused, 0)
				p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
				p.run(0, 6)
				p.inFolders(named(io, byFolder))
			})
		}
	}
}

// TestAFolderThatTheServerHasTroubleWith: it is waited for as anything is, and then only its own
// mail waits for another run (I7), which tries it again.
func TestAFolderThatTheServerHasTroubleWith(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"NO [SERVERBUG] oops", "NO [CORRUPTION] broken", "NO [UNAVAILABLE] later", "NO [INUSE] locked"} {
		for _, command := range []string{"EXAMINE", "FETCH", "CREATE", "APPEND"} {
			t.Run(command+", "+says, func(t *testing.T) { troubleWith(t, command, says) })
		}
	}
}

func troubleWith(t *testing.T, command, says string) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, popd.Options{}, imapd.Options{})
		p.account().Routes = []plan.Route{route("go", "Lists/Go"), route("c", "Lists/C")}
		byFolder := map[string][][]byte{}
		arrive := func() {
			for range 3 {
				for folder, sender := range map[string]string{"Lists/Go": "go", "Lists/C": "c", "INBOX": "x"} {
					m := from(sender, 1999, len(byFolder[folder]))
					byFolder[folder] = append(byFolder[folder], m)
					p.pop.Deliver(m)
				}
			}
		}
		arrive()
		if command != "CREATE" { // else it is there, and so is the journal
			p.run(0, 9)
			arrive()
			other := []byte("Subject: another's\r\n\r\nx\r\n")
			p.imap.User("").Deliver("Lists/Go", other, nil, time.Now())
			byFolder["Lists/Go"] = append(byFolder["Lists/Go"], other)
		}
		in := map[int]bool{} // connections that have it open
		p.imap.Configure(func(o *imapd.Options) {
			o.Reply = func(e imapd.Event) imapd.Action {
				named := strings.Contains(e.Line, "Lists/Go")
				if e.Stage != imapd.AtCommand {
					return imapd.Action{}
				}
				if e.Command == "EXAMINE" || e.Command == "SELECT" {
					in[e.Conn] = named
				}
				if e.Command == command && named || e.Command == "UID FETCH" && command == "FETCH" && in[e.Conn] {
					return imapd.Action{Reply: says}
				}
				return imapd.Action{}
			}
		})
		r := p.run(fault.Temporary, 6)
		e := r.Accounts[0].Error
		if r.Totals.Held != 3 || !strings.Contains(e.Message, "3 messages for folder Lists/Go not delivered") ||
			!strings.Contains(e.Message, says[3:]) || e.Hint == "" {
			t.Errorf("%+v, %+v", r.Totals, e)
		}
		if notes := strings.Join(r.Accounts[0].Notes, "\n"); strings.Contains(notes, "message with UID") {
			t.Errorf("messages are blamed: %s", notes)
		}
		p.run(fault.Temporary, 0)
		p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
		p.run(0, 3)
		p.run(0, 0)
		p.inFolders(byFolder)
	})
}

// TestAnAppendInDoubtInAFolderThatIsShut: its answer is lost, and from then on nobody can look. It
// stays in doubt, and is found when somebody can: sent again it would be there twice (I4).
func TestAnAppendInDoubtInAFolderThatIsShut(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]fault.Code{"NO no": fault.Refused, "NO [SERVERBUG] oops": fault.Temporary} {
		t.Run(says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, popd.Options{}, imapd.Options{}, from("go", 1999, 1))
				p.account().Routes = []plan.Route{route("go", "Lists/Go")}
				p.run(0, 1)
				p.pop.Deliver(from("go", 1999, 2))
				p.pop.Deliver(from("x", 1999, 3))
				shut := false
				p.imap.Configure(func(o *imapd.Options) {
					o.Reply = func(e imapd.Event) imapd.Action {
						named := strings.Contains(e.Line, "Lists/Go")
						switch {
						case e.Command == "APPEND" && e.Stage == imapd.AtReply && named && !shut:
							shut = true
							return imapd.Action{Cut: imapd.FIN}
						case e.Command == "EXAMINE" && e.Stage == imapd.AtCommand && named && shut:
							return imapd.Action{Reply: says}
						}
						return imapd.Action{}
					}
				})
				p.run(want, 1)
				p.run(want, 0)
				p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
				p.run(0, 1)
				p.run(0, 0)
				p.inFolders(map[string][][]byte{"INBOX": {from("x", 1999, 3)},
					"Lists/Go": {from("go", 1999, 1), from("go", 1999, 2)}})
			})
		})
	}
}

// TestDeletionsBesideAFolderThatIsShut: what is proven to be in another folder is deleted.
func TestDeletionsBesideAFolderThatIsShut(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"NO no", "NO [SERVERBUG] oops"} {
		t.Run(says, func(t *testing.T) {
			shut, other := from("go", 1999, 1), from("x", 1999, 2)
			p := newPair(t, popd.Options{}, imapd.Options{}, shut, other)
			p.account().Routes = []plan.Route{route("go", "Lists/Go")}
			p.run(0, 2)
			p.account().Keep, p.o.ConfirmDelete = plan.Keep{Delete: true}, true
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtCommand && e.Command == "EXAMINE" && strings.Contains(e.Line, "Go") {
						return imapd.Action{Reply: says}
					}
					return imapd.Action{}
				}
			})
			r := p.run(0, 0)
			if notes := strings.Join(r.Accounts[0].Notes, "\n"); !strings.Contains(notes, "folder Lists/Go can't be looked at: ") {
				t.Errorf("notes %s", notes)
			}
			p.left(shut)
			p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
			p.run(0, 0)
			p.left()
		})
	}
}

// TestRoundsWithoutTheOwnFolder: where routes send all mail elsewhere, the account's own folder is
// never made, and that it is not there ends no run that has to begin again.
func TestRoundsWithoutTheOwnFolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, popd.Options{}, imapd.Options{}, from("go", 2001, 1), from("go", 2001, 2))
		p.account().Folder, p.account().Routes = "Own", []plan.Route{route("go", "Lists/Go")}
		refused := 0
		p.imap.Configure(func(o *imapd.Options) {
			o.Reply = func(e imapd.Event) imapd.Action {
				if e.Stage == imapd.AtStore && e.Command == "APPEND" && refused < 3 {
					refused++
					return imapd.Action{Reply: "NO [UNAVAILABLE] database is locked"}
				}
				return imapd.Action{}
			}
		})
		p.run(0, 2)
		if p.imap.User("").UIDValidity("Own") != 0 {
			t.Error("a folder was made for nothing")
		}
	})
}

// TestAFolderThatIsRefusedBesideDeletions: that the first of these needs a word hides no folder
// that holds mail up.
func TestAFolderThatIsRefusedBesideDeletions(t *testing.T) {
	p, _ := routed(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Command == "CREATE" && strings.Contains(e.Line, "Go") {
			return imapd.Action{Reply: "NO invalid prefix"}
		}
		return imapd.Action{}
	}})
	p.account().Keep = plan.Keep{Delete: true}
	r := p.run(fault.Refused, 24)
	a := r.Accounts[0]
	if a.Held != 6 || !strings.Contains(a.Error.Message, "6 messages for folder Lists/Go not delivered") {
		t.Errorf("%+v, %+v", a.Totals, a.Error)
	}
	if notes := strings.Join(a.Notes, "\n"); !strings.Contains(notes, "24 messages could be deleted from POP3") ||
		!strings.Contains(notes, "--confirm-delete") {
		t.Errorf("notes %s", notes)
	}
}

// TestOneThatAFolderRefuses: a message that the server forbids, as a content filter does, is
// held alone, wherever it is among others for its folder, and so are several.
func TestOneThatAFolderRefuses(t *testing.T) {
	t.Parallel()
	for name, io := range servers {
		io.Refuse = func(msg []byte) string {
			if bytes.Contains(msg, []byte("poison")) {
				return "NO [NOPERM] that is not allowed here"
			}
			return ""
		}
		for _, bad := range [][]int{{0}, {17}, {29}, {3, 4, 20}} {
			t.Run(fmt.Sprint(name, bad), func(t *testing.T) {
				p, byFolder := routed(t, popd.Options{}, io)
				p.run(0, 30)
				for n := range 30 {
					m := from("go", 2002, n)
					if slices.Contains(bad, n) {
						m = append(m, "poison\r\n"...)
					}
					byFolder["Lists/Go"] = append(byFolder["Lists/Go"], m)
					p.pop.Deliver(m)
				}
				r := p.run(fault.Held, 30-len(bad))
				if m := r.Accounts[0].Messages; len(m) != len(bad) || !strings.Contains(m[0].Reason, "its folder refuses it") {
					t.Errorf("%+v", m)
				}
				p.run(fault.Held, 0)
				p.imap.Configure(func(o *imapd.Options) { o.Refuse = nil })
				p.run(0, len(bad))
				p.inFolders(named(io, byFolder))
			})
		}
	}
}

// TestTheFirstThatAFolderRefuses: where what a server forbids comes first, it looks as if the
// folder were forbidden, and only once.
func TestTheFirstThatAFolderRefuses(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Refuse: func(msg []byte) string {
		if bytes.Contains(msg, []byte("poison")) {
			return "NO [NOPERM] that is not allowed here"
		}
		return ""
	}})
	p.account().Routes = []plan.Route{route("go", "Lists/Go")}
	for n := range 30 {
		m := from("go", 2002, n)
		if n < 2 {
			m = append(m, "poison\r\n"...)
		}
		p.pop.Deliver(m)
	}
	p.run(fault.Refused, 0)
	p.run(fault.Held, 28)
	p.pop.Deliver(from("go", 2003, 1))
	p.run(fault.Held, 1)
}

// TestDeleteAndUndoFollowTheFolder of each message, also of one that no route leads to any
// more.
func TestDeleteAndUndoFollowTheFolder(t *testing.T) {
	for name, io := range servers {
		t.Run(name, func(t *testing.T) {
			p, byFolder := routed(t, popd.Options{}, io)
			p.run(0, 30)
			p.account().Routes = p.account().Routes[:1]
			if name != "no UIDPLUS" {
				if r := ferry.Undo(t.Context(), p.o); r.Totals.Deleted != 30 || r.ExitCode != 0 {
					t.Fatalf("undo: %+v", r)
				}
				p.inFolders(nil)
				p.account().Routes = append(p.account().Routes, route("c", "Lists/C"), route("", "Archive/{year}"))
				p.run(0, 30)
				p.account().Routes = nil
			}
			p.account().Keep.Delete = true
			p.o.ConfirmDelete = true
			p.run(0, 0)
			p.kept(0)
			p.inFolders(named(io, byFolder))
		})
	}
}

// TestVerifyLooksInTheFolderOfEach, and then in the others.
func TestVerifyLooksInTheFolderOfEach(t *testing.T) {
	p, _ := routed(t, popd.Options{}, imapd.Options{})
	p.run(0, 30)
	user := p.imap.User("")
	user.SetUIDValidity("Lists/Go", 4711)
	user.Create("Elsewhere")
	if _, err := user.Move("Lists/C", user.Mailbox("Lists/C")[0].UID, "Elsewhere"); err != nil {
		t.Fatal(err)
	}
	user.Expunge("INBOX", user.Mailbox("INBOX")[0].UID)
	v := ferry.Verify(t.Context(), p.o)
	if v.Totals != (ferry.VerifyTotals{Delivered: 30, Found: 28, Moved: 1, Missing: 1}) || v.ExitCode != fault.Held {
		t.Errorf("%+v", v.Totals)
	}
}

// TestPlanTellsTheFolders from headers alone, and writes nothing.
func TestPlanTellsTheFolders(t *testing.T) {
	p, _ := routed(t, popd.Options{}, imapd.Options{})
	plans, r := ferry.Plans(t.Context(), p.o)
	if r.ExitCode != 0 || p.retrieved() != 0 || len(p.imap.User("").Mailboxes()) != 1 {
		t.Fatalf("%+v, %d retrieved", r, p.retrieved())
	}
	text := plans[0].String()
	for _, want := range []string{"folder Archive/2003: 6 (", "folder INBOX: 6 (", "folder Lists/Go: 6 ("} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	var b strings.Builder
	if err := plans[0].Explain(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"new; to Lists/C by route 2\n", "new; no route matches, so to INBOX\n"} {
		if n := strings.Count(b.String(), want); n != 6 {
			t.Errorf("%q is there %d times:\n%s", want, n, b.String())
		}
	}
	p.pop.Configure(func(o *popd.Options) { o.NoTOP = true })
	plans, _ = ferry.Plans(t.Context(), p.o)
	if why := plans[0].Actions[0].Why; why != "new; its folder is known when it is read" {
		t.Error(why)
	}
}

// TestForbiddenNameIsTold in the plan and in the report.
func TestForbiddenNameIsTold(t *testing.T) {
	io := imapd.Options{Prefix: "INBOX."}
	p := newPair(t, popd.Options{}, io, from("go", 2001, 1))
	p.account().Routes = []plan.Route{route("go", "Lists/go.org")}
	r := p.run(0, 1)
	p.inFolders(map[string][][]byte{"INBOX.Lists.go=2Eorg": {from("go", 2001, 1)}})
	want := "folder Lists/go.org is called INBOX.Lists.go=2Eorg on the server, which forbids its name as it is"
	if !slices.Contains(r.Accounts[0].Notes, want) {
		t.Errorf("notes %q", r.Accounts[0].Notes)
	}
}

// TestRenamedFolderIsToldOnce, by the name that it has in the end: the first one may be refused.
// A plan, which makes none, tells the first of the account's own.
func TestRenamedFolderIsToldOnce(t *testing.T) {
	io := imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "CREATE" && strings.Contains(e.Line, ".") {
			return imapd.Action{Reply: "NO [CANNOT] no dots"}
		}
		return imapd.Action{}
	}}
	p := newPair(t, popd.Options{}, io, from("go", 2001, 1))
	p.account().Folder = "Lists/go.org/a%b"
	const said, only = "folder Lists/go.org/a%b is called ", " on the server, which forbids its name as it is"
	told := func(notes []string) (told []string) {
		for _, note := range notes {
			if strings.HasPrefix(note, said) {
				told = append(told, strings.TrimSuffix(strings.TrimPrefix(note, said), only))
			}
		}
		return told
	}
	plans, _ := ferry.Plans(t.Context(), p.o)
	if got := told(plans[0].Warnings); !slices.Equal(got, []string{"Lists/go.org/a=25b"}) {
		t.Errorf("the plan tells %q", got)
	}
	p.account().Folder, p.account().Routes = "INBOX", []plan.Route{route("go", "Lists/go.org/a%b")}
	if got := told(p.run(0, 1).Accounts[0].Notes); !slices.Equal(got, []string{"Lists/go=2Eorg/a=25b"}) {
		t.Errorf("the run tells %q", got)
	}
	p.inFolders(map[string][][]byte{"Lists/go=2Eorg/a=25b": {from("go", 2001, 1)}})
}

// TestRefusedNameBelowASpecialUse is tried without its dot, too.
func TestRefusedNameBelowASpecialUse(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "CREATE" && strings.Contains(e.Line, ".") {
			return imapd.Action{Reply: "NO [CANNOT] Character not allowed in mailbox name: '.'"}
		}
		return imapd.Action{}
	}}, from("go", 2001, 1))
	p.account().Routes = []plan.Route{route("go", `\Archive/v.w`)}
	r := p.run(0, 1)
	p.inFolders(map[string][][]byte{"Archive/v=2Ew": {from("go", 2001, 1)}})
	if !strings.Contains(strings.Join(r.Accounts[0].Notes, " "), "is called Archive/v=2Ew") {
		t.Errorf("%q", r.Accounts[0].Notes)
	}
	p.forget()
	p.run(0, 0)
}

// TestNamesAProviderForbids are mapped before the server refuses them; plan says so too.
func TestNamesAProviderForbids(t *testing.T) {
	refusing := imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "CREATE" && strings.ContainsAny(e.Line, "^ä") {
			return imapd.Action{Reply: "NO [CANNOT] Invalid folder name"}
		}
		return imapd.Action{}
	}}
	p := newPair(t, popd.Options{}, refusing, from("go", 2001, 1))
	p.account().Destination.Ways.Forbidden = plan.Forbidden{Characters: "^"}
	p.account().Folder = "Home^"
	if plans, _ := ferry.Plans(t.Context(), p.o); len(plans) != 1 || len(plans[0].Warnings) != 1 ||
		!strings.Contains(plans[0].Warnings[0], "Home=5E") {
		t.Errorf("%+v", plans)
	}
	p.account().Routes = []plan.Route{route("go", "Lists/a^b")}
	want := "folder Lists/a^b is called Lists/a=5Eb on the server, which forbids its name as it is"
	if plans, r := ferry.Plans(t.Context(), p.o); len(plans) != 1 || !slices.Contains(plans[0].Warnings, want) {
		t.Errorf("%+v, %+v", plans, r.Accounts[0].Error)
	}
	r := p.run(0, 1)
	p.inFolders(map[string][][]byte{"Lists/a=5Eb": {from("go", 2001, 1)}})
	if !slices.Contains(r.Accounts[0].Notes, want) {
		t.Errorf("notes %q", r.Accounts[0].Notes)
	}
	p.run(0, 0)
	p.forget()
	p.run(0, 0)
}

// TestAllFoldersThatAreRefused are in the error, also where there are many.
func TestAllFoldersThatAreRefused(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Reply: func(e imapd.Event) imapd.Action {
		if e.Stage == imapd.AtCommand && e.Command == "CREATE" {
			return imapd.Action{Reply: "NO [CANNOT] Invalid folder name"}
		}
		return imapd.Action{}
	}})
	for n := range 25 {
		sender := fmt.Sprintf("list%d", n)
		p.account().Routes = append(p.account().Routes, route(sender, "Lists/"+sender))
		p.pop.Deliver(from(sender, 2001, n))
	}
	e := p.run(fault.Refused, 0).Accounts[0].Error
	if n := strings.Count(e.Message, "1 message for folder Lists/list"); n != 10 || !strings.HasSuffix(e.Message, "; and 15 more folders") ||
		strings.Count(e.Message, "CANNOT") != 10 || strings.Count(e.Hint, "check") != 1 {
		t.Errorf("%d folders: %+v", n, e)
	}
}

// TestAccountsThatShareFolders take turns without getting stuck, and neither takes the
// other's mail for its own.
func TestAccountsThatShareFolders(t *testing.T) {
	for name, io := range servers {
		t.Run(name, func(t *testing.T) {
			p, byFolder := routed(t, popd.Options{}, io)
			other := popd.New(popd.Options{}, byFolder["Lists/Go"]...)
			t.Cleanup(func() { other.Close() })
			b := *p.account()
			b.Name, b.Source.Username, b.Source.Dial = "bob", "bob", other.Dial
			b.Folder, b.Routes = "Lists/C", []plan.Route{route("go", "Lists/Go"), route("c", "INBOX")}
			p.o.Config.Accounts = append(p.o.Config.Accounts, b)
			p.run(0, 36)
			p.run(0, 0)
			byFolder["Lists/Go"] = append(byFolder["Lists/Go"], byFolder["Lists/Go"]...)
			p.inFolders(named(io, byFolder))
		})
	}
}

// TestLostAnswerIsLookedForWhereItWent, though the route leads elsewhere by now.
func TestLostAnswerIsLookedForWhereItWent(t *testing.T) {
	for name, io := range servers {
		t.Run(name, func(t *testing.T) {
			p, byFolder := routed(t, popd.Options{}, io)
			p.run(0, 30)
			p.pop.Deliver(from("go", 2001, 99))
			p.imap.Configure(func(o *imapd.Options) {
				o.Reply = func(e imapd.Event) imapd.Action {
					if e.Stage == imapd.AtStore && e.Command == "APPEND" {
						return imapd.Action{StoreAfter: -1, Cut: imapd.FIN}
					}
					return imapd.Action{}
				}
			})
			p.o.NoWait, p.o.Config.Settle = true, time.Hour
			p.run(fault.Temporary, 0)
			p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
			if n := p.imap.Commit(); n != 1 {
				t.Fatalf("%d messages arrived late", n)
			}
			p.account().Routes = []plan.Route{route("go", "Elsewhere")}
			p.o.NoWait, p.o.Config.Settle = false, time.Millisecond
			p.run(0, 1)
			byFolder["Lists/Go"] = append(byFolder["Lists/Go"], from("go", 2001, 99))
			p.inFolders(named(io, byFolder))
		})
	}
}

// TestAdoptLooksInAllFolders that the routes can lead to, also where only the content
// tells, and copies nothing.
func TestAdoptLooksInAllFolders(t *testing.T) {
	for name, po := range map[string]popd.Options{"TOP": {}, "no TOP": {NoTOP: true}} {
		t.Run(name, func(t *testing.T) {
			p, byFolder := routed(t, po, imapd.Options{})
			p.run(0, 30)
			p.forget()
			p.pop.Deliver(nil, from("new", 2003, 1))
			slices.Reverse(p.account().Routes)
			if r := ferry.Adopt(t.Context(), p.o, false); r.Totals.Duplicate != 30 || r.Totals.Delivered != 0 {
				t.Fatalf("%+v", r)
			}
			p.run(fault.Held, 1)
			byFolder["Archive/2003"] = append(byFolder["Archive/2003"], from("new", 2003, 1))
			p.inFolders(byFolder)
		})
	}
}

// TestWhereNobodyCanLook: without its journal a run copies nothing as long as it can't
// look into a folder that may have it all (I4).
func TestWhereNobodyCanLook(t *testing.T) {
	p, byFolder := routed(t, popd.Options{}, imapd.Options{})
	p.run(0, 30)
	p.forget()
	slices.Reverse(p.account().Routes)
	p.imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand && e.Command == "EXAMINE" && strings.Contains(e.Line, "Lists/Go") {
				return imapd.Action{Reply: "NO [NOPERM] not for you"}
			}
			return imapd.Action{}
		}
	})
	r := p.run(fault.Refused, 0)
	if e := r.Accounts[0].Error; !strings.Contains(e.Message, "Lists/Go") {
		t.Errorf("%+v", e)
	}
	p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
	p.run(0, 0)
	p.inFolders(byFolder)
}

// TestPassesWithRoutes: a bridge does not read again and again what a folder keeps from
// being delivered, and tries it when there is something else to do.
func TestPassesWithRoutes(t *testing.T) {
	p, byFolder := routed(t, popd.Options{}, imapd.Options{})
	p.imap.Configure(func(o *imapd.Options) {
		o.Reply = func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand && e.Command == "CREATE" && strings.Contains(e.Line, "Go") {
				return imapd.Action{Reply: "NO [NOPERM] not here"}
			}
			return imapd.Action{}
		}
	})
	pass := p.passes()
	pass(fault.Refused, 24)
	read := p.retrieved()
	pass(fault.Held, 0)
	if n := p.retrieved() - read; n != 0 {
		t.Errorf("read %d messages again", n)
	}
	p.imap.Configure(func(o *imapd.Options) { o.Reply = nil })
	p.pop.Deliver(from("c", 2001, 99))
	pass(0, 7)
	pass(0, 0)
	byFolder["Lists/C"] = append(byFolder["Lists/C"], from("c", 2001, 99))
	p.inFolders(byFolder)
}

// TestLeastSharedFolderFirst: without the journal an account knows its mail again in the
// folder that no other account delivers to, so that the other finds its own, too.
func TestLeastSharedFolderFirst(t *testing.T) {
	mail := from("go", 2001, 1)
	p := newPair(t, popd.Options{}, imapd.Options{}, mail)
	p.neighbour(mail)
	p.account().Routes = []plan.Route{route("go", "Lists/Go")}
	p.o.Config.Limits.Accounts = 1
	p.run(0, 2)
	p.forget()
	p.run(0, 0)
	p.inFolders(map[string][][]byte{"INBOX": {mail}, "Lists/Go": {mail}})
}

// TestFoldersOfAnotherSpelling: mail in folders that LIST does not show by the names that
// routes have, though the server knows them, is not copied again without the journal.
func TestFoldersOfAnotherSpelling(t *testing.T) {
	p, _ := routed(t, popd.Options{}, imapd.Options{Caseless: true})
	p.imap.User("").Create("lists/go")
	p.imap.User("").Create("lists/c")
	p.run(0, 30)
	p.run(0, 0)
	p.forget()
	p.run(0, 0)
	p.pop.Deliver(from("go", 2001, 99))
	p.run(0, 1)
}

// namespaces has a server tell of these.
func namespaces(text string) func(string, string) string {
	return func(_, response string) string {
		if strings.HasPrefix(response, "NAMESPACE") {
			return "NAMESPACE " + text
		}
		return response
	}
}

// TestNamespaceThatIsNotListed: a LIST that is refused is in the way of no other folder.
func TestNamespaceThatIsNotListed(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Untagged: namespaces(`(("" "/")) NIL (("#shared/" "/"))`),
		Reply: func(e imapd.Event) imapd.Action {
			if e.Stage == imapd.AtCommand && e.Command == "LIST" && strings.Contains(e.Line, "#shared") {
				return imapd.Action{Reply: "NO can't list that reference or name"}
			}
			return imapd.Action{}
		}}, from("go", 2001, 1), from("a", 2001, 2))
	p.account().Routes = []plan.Route{route("c", "#shared/x"), route("go", "Lists/Go")}
	p.run(fault.OK, 2)
	p.run(fault.OK, 0)
}

// TestOwnFolderLikeANamespace: a folder of the user's own that is there already stays the one
// that is meant, although another namespace has a prefix like it.
func TestOwnFolderLikeANamespace(t *testing.T) {
	p := newPair(t, popd.Options{}, imapd.Options{Prefix: "INBOX.",
		Untagged: namespaces(`(("INBOX." ".")) (("user." ".")) (("shared." "."))`)}, ordinary(3, 80)...)
	p.imap.User("").Create("INBOX.shared.lists")
	p.account().Folder = "shared/lists"
	p.run(fault.OK, 3)
	if n := len(p.imap.Mailbox("INBOX.shared.lists")); n != 3 {
		t.Errorf("%d there; %q", n, p.imap.User("").Mailboxes())
	}
}

// TestAnotherFolderKeepsRoutes: with another `folder` all mail comes anew, but not twice to the
// folder of a route: what is there was brought there.
func TestAnotherFolderKeepsRoutes(t *testing.T) {
	for name, po := range everyName {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, po, imapd.Options{}, from("a", 2020, 1), from("b", 2020, 2), from("a", 2020, 1))
			p.account().Routes = []plan.Route{route("a", "Lists")}
			p.run(0, 3)
			p.account().Folder = "Archive"
			p.pop.Deliver(from("a", 2020, 1)) // a third one, with a name of its own or without
			p.run(0, 2)
			p.run(0, 0)
			for folder, want := range map[string]int{"INBOX": 1, "Archive": 1, "Lists": 3} {
				if got := len(p.imap.Mailbox(folder)); got != want {
					t.Errorf("%s has %d messages, not %d", folder, got, want)
				}
			}
			p.imap.User("").MarkDeleted("Lists", 1)
			p.account().Folder = "Other"
			p.run(0, 2) // the one for it, and what somebody wants gone from Lists
		})
	}
}
