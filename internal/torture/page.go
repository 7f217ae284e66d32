package main

import (
	"fmt"
	"io"
	"strings"
)

const pageHead = `# Reliability

What was done to popferry to make it lose mail, double it or alter it, and what came of it.
` + "`make torture`" + ` does it again, in under an hour on two cores, and writes this page and
` + "`reliability.json`" + `; ` + "`make soak`" + ` adds the bridge that keeps going. What was sent
is compared with the servers' own files by content;
*lost* mail is not there, or not as often as it was sent, *doubled* mail is there too often,
*altered* mail differs from all that was sent, and mail *deleted too early* was gone from POP3
at a moment when it was not in IMAP.

| | cases | kills | lost | doubled | altered | deleted too early | seconds |
|---|---|---|---|---|---|---|---|
`

// writePage is reliability.md.
func writePage(w io.Writer, r result) error {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, p := range r.Parts {
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %d | %d | %d | %d | %.0f |\n", p.Title, anchor(p.Title),
			p.Cases, p.Kills, p.Verdict.Lost, p.Verdict.Doubled, p.Verdict.Altered, p.Verdict.Early,
			p.Seconds)
	}
	for _, p := range r.Parts {
		writePart(&b, p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePart(b *strings.Builder, p part) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", p.Title, p.About)
	fmt.Fprintf(b, "```console\n$ %s\n```\n\n", p.Command)
	fmt.Fprintf(b, "%s, %s, seed %d, %d cases in %.0f s.", p.Date.Format("2006-01-02"), p.Revision,
		p.Seed, p.Cases, p.Seconds)
	if len(p.Exits) > 0 {
		fmt.Fprintf(b, " Runs by exit status: %s.", p.exits())
	}
	b.WriteString("\n")
	for i, line := range p.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "- %s\n", line)
	}
	for _, line := range p.Failures {
		fmt.Fprintf(b, "\n**Failed:** %s\n", line)
	}
	if more := p.Failed - len(p.Failures); more > 0 {
		fmt.Fprintf(b, "\nand %d more.\n", more)
	}
	if len(p.Rows) == 0 {
		return
	}
	b.WriteString("\n| case | expected | found |\n|---|---|---|\n")
	for _, c := range p.Rows {
		fmt.Fprintf(b, "| %s | %s | %s |\n", cell(c.Name), cell(c.Want), cell(c.Got))
	}
}

// cell is text that ends no cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// anchor is what a heading is linked by.
func anchor(title string) string {
	keep := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(title))
}
