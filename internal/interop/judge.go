package main

import (
	"bytes"
	"slices"

	"github.com/popferry/popferry/internal/mailtest/corpus"
)

// source is what a source makes of the mail in its store.
type source struct {
	Put     int `json:"put"`
	Listed  int `json:"listed"`
	Intact  int `json:"intact"`  // served as it was put there
	Altered int `json:"altered"` // served otherwise
	Refused int `json:"refused"` // listed and not served
}

// cell is what becomes of the mail that a source serves.
type cell struct {
	Served  int `json:"served"`
	Arrived int `json:"arrived"` // there as it was served, line ends and NUL aside
	Marked  int `json:"marked"`  // the same, but for fields that mail spool files need
	// Restored are there as they lie in the source's store, although the source served them
	// otherwise.
	Restored int `json:"restored"`
	Altered  int `json:"altered"` // sent as it was served, and stored otherwise
	Held     int `json:"held"`
	// Changed counts what popferry sent and no source has; Lost what is neither there nor held;
	// Doubled what is there too often. They have to be 0.
	Changed int `json:"changed"`
	Lost    int `json:"lost"`
	Doubled int `json:"doubled"`
	Exit    int `json:"exit"`

	Again      again `json:"again"`       // a second run
	NoJournal  again `json:"no_journal"`  // a run that knows nothing of the first
	ErrorShown bool  `json:"error_shown"` // the report has an error for the account
}

// again is a run that finds everything done. Copied is what is there in addition.
type again struct {
	Copied int `json:"copied"`
	Exit   int `json:"exit"`
}

// judgeSource compares what is served with what was put into the store.
func judgeSource(s served, put [][]byte) source {
	left := count(put, corpus.Canonical)
	intact := len(s.Messages) - len(left.without(s.Messages, corpus.Canonical))
	return source{Put: len(put), Listed: len(s.Messages) + len(s.Refused), Intact: intact,
		Altered: len(s.Messages) - intact, Refused: len(s.Refused)}
}

// judge compares what there is after each of three runs with what the source was given and serves.
func judge(put [][]byte, s served, first, second, third outcome) cell {
	c := cell{Served: len(s.Messages), Exit: first.Exit, Held: first.Report.Accounts[0].Held,
		ErrorShown: first.Report.Accounts[0].Error != nil}
	left := count(s.Messages, corpus.Canonical)
	others := left.without(first.There, corpus.Canonical)
	c.Arrived = len(first.There) - len(others)
	rest := others
	// What is left of the served ones, once more, without the fields of mail spool files.
	others = left.unmarked().without(rest, unmarked)
	c.Marked, rest = len(rest)-len(others), others
	unserved := count(put, corpus.Canonical)
	unserved.without(s.Messages, corpus.Canonical)
	others = unserved.without(rest, corpus.Canonical)
	c.Restored, c.Altered = len(rest)-len(others), len(others)
	// What the source does not give may be held as well.
	missing := c.Served + len(s.Refused) - c.Held - len(first.There)
	c.Lost, c.Doubled = max(0, missing), max(0, -missing)
	c.Changed = changed(put, s.Messages, first.Sent)
	c.Again = newAgain(first, second)
	c.NoJournal = newAgain(second, third)
	return c
}

func newAgain(before, after outcome) again {
	return again{Copied: len(after.There) - len(before.There), Exit: after.Exit}
}

// changed counts what was sent and is neither in the source's store nor served by it. A server
// over spool files may give its own fields another value in each session.
func changed(put, served, sent [][]byte) int {
	known := count(slices.Concat(put, served), unmarked)
	n := 0
	for _, raw := range sent {
		if known[string(unmarked(raw))] == 0 {
			n++
		}
	}
	return n
}

// bag counts messages by some form of them.
type bag map[string]int

func count(messages [][]byte, form func([]byte) []byte) bag {
	b := bag{}
	for _, raw := range messages {
		b[string(form(raw))]++
	}
	return b
}

// without takes messages out of the bag and returns those that were not in it.
func (b bag) without(messages [][]byte, form func([]byte) []byte) [][]byte {
	var others [][]byte
	for _, raw := range messages {
		if key := string(form(raw)); b[key] > 0 {
			b[key]--
		} else {
			others = append(others, raw)
		}
	}
	return others
}

// unmarked returns the same bag by another form.
func (b bag) unmarked() bag {
	out := bag{}
	for key, n := range b {
		out[string(unmarked([]byte(key)))] += n
	}
	return out
}

// marks are the fields in which servers over mail spool files keep their own state, and by which
// such a message differs from the same one elsewhere.
var marks = [...]string{
	"status:", "x-status:", "x-uid:", "x-uidl:", "x-imapbase:", "x-imap:", "x-keywords:",
}

// unmarked is the canonical form without such fields in the header.
func unmarked(raw []byte) []byte {
	var out []byte
	header := true
	for line := range bytes.Lines(corpus.Canonical(raw)) {
		header = header && string(line) != "\r\n"
		if !header || !isMark(line) {
			out = append(out, line...)
		}
	}
	return out
}

func isMark(line []byte) bool {
	for _, name := range marks {
		if len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return true
		}
	}
	return false
}
