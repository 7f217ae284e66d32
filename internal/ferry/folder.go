package ferry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/popferry/popferry/imapdst"
	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/journal"
	"github.com/popferry/popferry/plan"
)

// folderState is what a trip knows of the folders of its account.
type folderState struct {
	home    *folder                // the account's own
	folders []*folder              // all that were opened or may be; home is the first
	byName  map[string]*folder     // those of routes, by configured name
	targets map[string]plan.Target // where messages would go, for a plan, by listing key
	reached bool                   // all that routes lead to are among them
}

// folderFates is what became of folders. It is guarded by trip.mu.
type folderFates struct {
	shut           []*folder       // those that messages could not be delivered to
	gone           bool            // the destination says that the account's folder is not there
	madeAnew       bool            // and it was looked for since, and made
	turnedUp       int             // folders that were missing had mail when they were made
	troubled       bool            // a fault of the server's own kept one shut in this round
	impatient      bool            // such faults are waited for no longer
	unlocatedNoted map[string]bool // folders that factUnlocated has
}

// folder is one folder of the destination that mail of a trip goes to, or may be in.
// The account's own is opened with the connection; others only when there is mail for
// them, or when one may hold mail that the journal does not know.
type folder struct {
	name string // as configured, its date filled in
	past bool   // no route leads to it: other accounts may be at work in it

	waiting map[string]bool // messages that it keeps from being delivered; guarded by the trip

	mu      sync.Mutex // guards what follows
	box     imapdst.Folder
	index   journal.Index
	stale   bool      // box is what was true some time ago
	copied  []uint32  // UIDs appended in this trip
	end     uint32    // UIDNEXT when the index was brought up to date, as told in box
	unused  uint32    // behind the last message there was then; 0: not known
	refusal error     // why nothing can be delivered to it
	took    bool      // it got mail in this trip
	refused []refused // what it refused since, each alone and for the first time
	hidden  bool      // nor can it be looked at
}

// now is the folder as it was seen last.
func (f *folder) now() imapdst.Folder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.box
}

func (f *folder) set(box imapdst.Folder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if box.UIDValidity != f.box.UIDValidity {
		f.copied, f.end = nil, 0 // what has these UIDs now is nobody's copy (RFC 3501 §2.3.1.1)
	}
	f.box, f.stale, f.unused = box, false, 0
}

// known is the journal's index of the folder.
func (f *folder) known() journal.Index {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

func (f *folder) isStale() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stale
}

func (f *folder) age() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stale = true
}

// close says that nothing can be delivered to the folder in this trip.
func (f *folder) close(refusal error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = cmp.Or(f.refusal, refusal)
}

// delivered notes that the folder got mail, so that what it refused was about that alone.
func (f *folder) delivered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took, f.refused = true, nil
}

// refused is a message that a folder refused.
type refused struct {
	listed plan.Listed
	record journal.Record
}

// refuses notes that a message was refused alone, in words that may be about the folder.
// They are if it took nothing, and another one is refused as well; or if it takes no more.
// Then it is closed, and what it refused had nothing else in its way.
func (f *folder) refuses(r refused, refusal error) (because []refused) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = append(f.refused, r)
	if n := len(f.refused); f.refusal == nil && (n < 2 || f.took && n < maxUnexplained) {
		return nil
	}
	f.refusal = cmp.Or(f.refusal, refusal)
	because, f.refused = f.refused, nil
	return because
}

// hide says that it can't even be looked at.
func (f *folder) hide(refusal error) {
	f.close(refusal)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hidden = true
}

func (f *folder) isHidden() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hidden
}

func (f *folder) closed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refusal
}

// gained notes a UID that was appended.
func (f *folder) gained(uid uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.copied = append(f.copied, uid)
}

// indexed notes that the index has all there is, and where that ends.
func (f *folder) indexed(box imapdst.Folder, unused uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end, f.unused = box.UIDNext, unused
}

// toAppend is the folder with a UIDNEXT that is told no higher than is proven: what is
// appended has no UID below, and one that is too high would hide it.
func (f *folder) toAppend() imapdst.Folder {
	f.mu.Lock()
	defer f.mu.Unlock()
	box := f.box
	if f.unused != 0 && (!tellsNext(box) || f.unused < box.UIDNext) {
		box.UIDNext = f.unused
	}
	return box
}

// spot is the place of one message: UIDs mean something only with their folder.
type spot struct {
	in  *folder
	uid uint32
}

// admit makes a folder one of the trip's, unless it is one already.
func (t *trip) admit(ctx context.Context, f *folder) (*folder, error) {
	mailbox := f.now().Mailbox
	for _, known := range t.folders {
		if known.now().Mailbox == mailbox {
			return known, nil
		}
	}
	if err := t.takeIndex(ctx, f, mailbox); err != nil {
		return nil, err
	}
	t.folders = append(t.folders, f)
	return f, nil
}

func (t *trip) takeIndex(ctx context.Context, f *folder, mailbox string) error {
	index, err := t.engine.Journal.Index(ctx, journal.FolderKey{
		Host: t.account.Destination.Host, User: t.account.Destination.Mailbox(), Folder: mailbox,
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = index
	return nil
}

// folderNamed is the folder of a configured name, which need not exist.
func (t *trip) folderNamed(ctx context.Context, name string) (*folder, error) {
	if name == t.account.Folder {
		return t.home, nil
	}
	if f := t.byName[name]; f != nil {
		return f, nil
	}
	f := &folder{name: name}
	err := t.dest.do(ctx, f, func(c *imapdst.Conn, _ imapdst.Folder) (err error) {
		f.box, err = c.Folder(ctx, name, false)
		return err
	})
	if t.shuts(err) {
		f.hide(err)
		t.byName[name] = f
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	t.sayRenamed(f.box)
	box := f.box
	if f, err = t.admit(ctx, f); err != nil {
		return nil, err
	}
	f.set(box)
	f.past = false
	t.byName[name] = f
	return f, nil
}

// mayMakeAnew reports whether the account's folder, which is said to be gone, is to be
// made before the next round: once, or else whoever removes it has the better claim.
func (t *trip) mayMakeAnew() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = t.gone || !t.madeAnew
	return t.gone
}

// makeAnew does so, if the folder is to be made.
func (t *trip) makeAnew(ctx context.Context) (done bool, err error) {
	t.mu.Lock()
	done, t.gone, t.madeAnew = t.gone, false, t.madeAnew || t.gone
	t.mu.Unlock()
	if !done {
		return false, nil
	}
	before := t.home.now()
	if err := t.findHome(ctx); err != nil {
		return true, err
	}
	if box := t.home.now(); box.UIDValidity != before.UIDValidity {
		t.note("folder %s was removed amid the run and made again; what was in it is not brought again (popferry verify tells)",
			fault.Escape(box.Name))
	}
	return true, nil
}

// findHome looks whether the account's own folder is there, and makes it where all mail may
// need it: where there are routes, the first message for it does.
func (t *trip) findHome(ctx context.Context) error {
	return t.dest.do(ctx, t.home, func(c *imapdst.Conn, _ imapdst.Folder) error {
		box, err := c.Folder(ctx, t.home.name, t.dest.create)
		if err == nil {
			err = Countable(t.dest.address(), box)
		}
		if err == nil {
			t.home.set(box)
		}
		return err
	})
}

// sayRenamed tells what a folder is called, once that is certain: what a run would make may
// be refused, and be made under another name.
func (t *trip) sayRenamed(box imapdst.Folder) {
	if box.Renamed && box.Exists {
		t.noteOnce(renamedAs(box))
	}
}

func renamedAs(box imapdst.Folder) string {
	return fmt.Sprintf("folder %s is called %s on the server, which forbids its name as it is",
		fault.Escape(box.Name), fault.Escape(box.Mailbox))
}

// foreseeNames adds to a plan which folders that its mail goes to have another name on the
// server.
func (t *trip) foreseeNames(ctx context.Context, p *plan.Plan) error {
	called := []imapdst.Folder{t.home.now()}
	if names := targetsOf(*p, t.home.name); len(names) > 0 {
		err := t.dest.do(ctx, t.home, func(c *imapdst.Conn, _ imapdst.Folder) error {
			others, err := c.Called(ctx, names)
			called = append(called, others...)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, box := range called {
		if box.Renamed {
			p.Warnings = append(p.Warnings, renamedAs(box))
		}
	}
	return nil
}

// targetsOf are the folders that mail of a plan goes to, but for one.
func targetsOf(p plan.Plan, home string) (names []string) {
	for _, a := range p.Actions {
		if a.Target != nil && a.Target.Folder != home && !slices.Contains(names, a.Target.Folder) {
			names = append(names, a.Target.Folder)
		}
	}
	return names
}

// folderOf is the folder in which a record has its message, or was to have it; that may
// be one that no route leads to any more. It need not exist.
func (t *trip) folderOf(ctx context.Context, r journal.Record) (*folder, error) {
	for _, f := range t.folders {
		if f.now().Mailbox == r.Folder {
			return f, nil
		}
	}
	if r.Folder == "" {
		return t.home, nil
	}
	f := &folder{past: true}
	err := t.dest.do(ctx, f, func(c *imapdst.Conn, _ imapdst.Folder) (err error) {
		f.box, err = c.Open(ctx, r.Folder)
		return err
	})
	f.box.Mailbox = r.Folder
	if t.shuts(err) {
		f.hide(err)
	} else if err != nil {
		return nil, err
	}
	f.name = f.box.Name
	return t.admit(ctx, f)
}

// spotOf is where a record has its message; ok is false if nobody knows.
func (t *trip) spotOf(ctx context.Context, r journal.Record) (s spot, ok bool, err error) {
	f, err := t.folderOf(ctx, r)
	if err == nil {
		err = t.freshen(ctx, f)
	}
	if err != nil {
		return spot{}, false, err
	}
	box := f.now()
	return spot{f, r.UID}, r.UID != 0 && box.Exists && r.UIDValidity == box.UIDValidity, nil
}

// freshen opens a folder, or opens it again where what is known of it is old. One that
// can't be opened is closed to mail; but where any folder may hold what is about to be
// copied, nobody can know that it does not, and the trip ends (I4).
func (t *trip) freshen(ctx context.Context, f *folder) error {
	if !f.isStale() || !f.now().Exists || f.isHidden() {
		return nil
	}
	return t.orHide(f, t.dest.refresh(ctx, f))
}

// provide makes a folder if it is missing. Mail that is in it all the same was compared
// with nothing: then the round ends, and the next one does so.
func (t *trip) provide(ctx context.Context, f *folder) error {
	if f.closed() != nil || f.now().Exists {
		return f.closed()
	}
	var box imapdst.Folder
	err := t.dest.do(ctx, f, func(c *imapdst.Conn, _ imapdst.Folder) (err error) {
		box, err = c.Folder(ctx, f.name, true)
		return err
	})
	if t.shuts(err) {
		f.close(err)
		return err
	}
	if err != nil {
		return err
	}
	t.sayRenamed(box)
	if box.Mailbox != f.now().Mailbox { // what it would have been called was refused
		err = t.takeIndex(ctx, f, box.Mailbox)
	}
	f.set(box)
	if err != nil || box.Messages == 0 {
		return err
	}
	t.mu.Lock()
	t.turnedUp++
	t.mu.Unlock()
	return fault.New(fault.Temporary, "folder %s was there under another spelling, or got mail meanwhile",
		fault.Escape(f.name)).WithHint("run again: what is in it is compared first")
}

// everywhere reports whether mail that the journal does not know may be in any of the
// account's folders: without a journal that knows all of it, of a message that may be there
// all the same, and after a renumbering, since a route may have led elsewhere on another day.
func (t *trip) everywhere() bool {
	return len(t.account.Routes) > 0 && (!t.baseline || t.renumbered || t.unsure || t.origin == originAdopted)
}

// reach makes all folders that the account's routes can lead to known, as far as they
// exist.
func (t *trip) reach(ctx context.Context) error {
	if t.reached || !t.everywhere() {
		return nil
	}
	var boxes []imapdst.Folder
	err := t.dest.do(ctx, t.home, func(c *imapdst.Conn, _ imapdst.Folder) (err error) {
		boxes, err = c.Existing(ctx, foldersOf(t.account))
		return err
	})
	if err != nil {
		return err
	}
	for _, box := range boxes {
		box.Exists = true
		if _, err := t.admit(ctx, &folder{name: box.Name, box: box, stale: true}); err != nil {
			return err
		}
	}
	t.reached = true
	return nil
}

// foldersOf are the folders that an account's mail may go to, as configured.
func foldersOf(a plan.Account) []string {
	names := []string{a.Folder}
	for _, r := range a.Routes {
		if !slices.Contains(names, r.Folder) {
			names = append(names, r.Folder)
		}
	}
	return names
}

// leastShared orders folders by how many other accounts may have mail there. Without the
// journal nobody knows whose a copy is, and one that others can't find is none of theirs.
func (t *trip) leastShared(folders []*folder) []*folder {
	others := map[string]int{}
	for _, a := range t.engine.Config.Accounts {
		if a.Name == t.account.Name || a.Destination.Host != t.account.Destination.Host ||
			a.Destination.Mailbox() != t.account.Destination.Mailbox() {
			continue
		}
		for _, name := range foldersOf(a) {
			others[name]++
		}
	}
	return slices.SortedStableFunc(slices.Values(folders), func(a, b *folder) int {
		return others[a.name] - others[b.name]
	})
}
