package report

import (
	"fmt"
	"io"

	"github.com/popferry/popferry/internal/check"
)

// Symptoms lists what `popferry check` knows, a line each.
func Symptoms(list []check.Topic) Result { return symptoms(list) }

type symptoms []check.Topic

// JSON is the list.
func (s symptoms) JSON() any { return []check.Topic(s) }

// WriteText writes a line for each.
func (s symptoms) WriteText(w io.Writer) error {
	for _, t := range s {
		if _, err := fmt.Fprintf(w, "%-26s %s\n", t.Name, t.Symptom); err != nil {
			return err
		}
	}
	return nil
}

// Sheet has a row for each.
func (s symptoms) Sheet() Sheet {
	sheet := Sheet{Title: "popferry check --symptoms", Columns: []Column{{Name: "topic"}, {Name: "symptom"},
		{Name: "cause", Data: true}, {Name: "check", Data: true}},
		Verdict: "popferry check --explain TOPIC, or your own words, says more."}
	for _, t := range s {
		sheet.Rows = append(sheet.Rows, []Cell{text(t.Name), text(t.Symptom), text(t.Cause), text(t.Check)})
	}
	return sheet
}

// Explanation explains some topics.
func Explanation(list []check.Topic) Result { return explanation(list) }

type explanation []check.Topic

// JSON is the list.
func (e explanation) JSON() any { return []check.Topic(e) }

// Sheet has the topics as they stand under a check.
func (e explanation) Sheet() Sheet {
	s := Sheet{Title: "popferry check --explain", Columns: []Column{{Name: "topic"}}}
	for _, t := range e {
		s.Errors = append(s.Errors, Issue{Account: t.Name, Text: t.Symptom, Cause: t.Cause, Hint: t.Check})
	}
	return s
}
