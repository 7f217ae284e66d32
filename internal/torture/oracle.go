package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// maildir reads a Maildir again and again. A message's file never changes, so that each is read
// once; what is asked anew is which files there are.
type maildir struct {
	dir   string
	marks map[string]mark // by the file's name without its flags
}

func newMaildir(dir string) *maildir { return &maildir{dir: dir, marks: map[string]mark{}} }

// read counts what is there. A server that is at work renames files while they are listed, so
// the listing counts once it was the same twice.
func (d *maildir) read() (bag, error) {
	const limit = 1000
	var before []string
	for range limit {
		now, err := d.list()
		if err != nil {
			return nil, err
		}
		if before != nil && slices.Equal(before, now) {
			b, err := d.count(now)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return b, err
			}
			now = nil
		}
		before = now
	}
	return nil, fmt.Errorf("%s never stands still", d.dir)
}

// list returns the paths of all messages, sorted; not nil even if there is no such directory.
func (d *maildir) list() ([]string, error) {
	paths := []string{}
	for _, name := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(d.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			paths = append(paths, filepath.Join(d.dir, name, entry.Name()))
		}
	}
	return paths, nil
}

func (d *maildir) count(paths []string) (bag, error) {
	b := bag{}
	seen := map[string]bool{}
	for _, path := range paths {
		name, _, _ := strings.Cut(filepath.Base(path), ":2,")
		if seen[name] {
			continue // seen in new and, a moment later, in cur
		}
		seen[name] = true
		m, ok := d.marks[name]
		if !ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			m = markOf(raw)
			d.marks[name] = m
		}
		b[m]++
	}
	return b, nil
}

// oracle knows the truth and looks at the servers' files.
type oracle struct {
	truth    *truth
	mu       sync.Mutex // guards what follows, but for listing files
	pop, box *maildir
	early    map[mark]bool
	samples  int
}

func newOracle(t *truth, pop, box string) *oracle {
	return &oracle{truth: t, pop: newMaildir(pop), box: newMaildir(box), early: map[mark]bool{}}
}

// sampling is the pause between two looks.
const sampling = 3 * time.Millisecond

// watch looks until ctx ends.
func (o *oracle) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := o.sample(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(sampling):
		}
	}
	return nil
}

// sample looks for mail that left POP3 too early. It looks at POP3 first: nothing ever leaves
// IMAP, so that what is not there now was not there then either.
func (o *oracle) sample() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.truth.snapshot()
	left, err := o.pop.read()
	if err != nil {
		return err
	}
	got, err := o.box.read()
	if err != nil {
		return err
	}
	for _, m := range sent.missing(left, got) {
		o.early[m] = true
	}
	o.samples++
	return nil
}

// judge compares in the end; all of it has to be in IMAP, and in POP3 what keep says.
func (o *oracle) judge(keep string) (verdict, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left, err := o.pop.read()
	if err != nil {
		return verdict{}, err
	}
	got, err := o.box.read()
	if err != nil {
		return verdict{}, err
	}
	sent := o.truth.snapshot()
	v := sent.compare(got)
	v.Early = len(o.early)
	if keep == keepForever {
		// What this mode took out of the maildrop at all was too early.
		v.Early += sent.compare(left).Lost
	}
	return v, nil
}

// arrived is how many files there are, roughly: the server may be at work.
func (d *maildir) arrived() (int, error) {
	paths, err := d.list()
	return len(paths), err
}

// await returns when there are more files than before, or when done is closed.
func (d *maildir) await(before int, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		if now, err := d.arrived(); err != nil || now > before {
			return
		}
	}
}

// explain tells of the first mails that are lost or doubled.
func (o *oracle) explain() (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left, err := o.pop.read()
	if err != nil {
		return "", err
	}
	got, err := o.box.read()
	if err != nil {
		return "", err
	}
	const enough = 5
	var list []string
	for m, mail := range o.truth.samples() {
		if n := mail.copies; n != got[m] && len(list) < enough {
			list = append(list, fmt.Sprintf("sent %d, %d on POP3, %d in IMAP: %.100q", n, left[m], got[m], mail.raw))
		}
	}
	return strings.Join(list, "; "), nil
}
