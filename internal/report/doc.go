// Package report shows people and programs what popferry does and did.
//
// A command makes one [Output] and never asks again in which form its user wants
// to read:
//
//	out := report.New(report.Options{…})        // the form is chosen here, once
//	run := ferry.Run(ctx, ferry.Options{Observe: out.Observe, …})
//	err := out.Show(report.Run(run))            // stdout, and the --report file
//
// While the work goes on, an [Output] tells of it on the error output: a bar and
// a line for each account on a terminal, timed lines elsewhere, nothing if asked
// to be quiet. What a command found out is a [Result]. It is written to the
// standard output as text or JSON, and to a file as JSON, CSV or HTML; a [Sheet]
// is the neutral form that all but JSON are made from, so that they can't differ
// in what they say.
//
// Everything shown may come from a hostile server: a UIDL, a reason, an error.
// Each form makes it harmless in its own way. Text and CSV write control and
// direction-changing characters as escapes, CSV keeps spreadsheets from taking a
// text for a formula, HTML is escaped by html/template, and JSON has all that is
// not printable as \u escapes, which changes no meaning.
package report
