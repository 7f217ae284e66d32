package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attribute returns a number of an element, 0 if it is not there.
func attribute(t *testing.T, e xml.StartElement, name string) float64 {
	t.Helper()
	for _, a := range e.Attr {
		if a.Name.Local == name {
			var n float64
			if err := json.Unmarshal([]byte(a.Value), &n); err != nil {
				t.Fatalf("%s of %s is %q", name, e.Name.Local, a.Value)
			}
			return n
		}
	}
	return 0
}

// TestPicture holds that the picture is XML and that nothing sticks out.
func TestPicture(t *testing.T) {
	r := sample()
	r.Cases[1].Series[2] = series{Tool: movemail, Messages: 400, Runs: []oneRun{
		{cost: cost{Seconds: 360, TimedOut: true, Exit: -1}, outcome: outcome{Delivered: 1234}}}}
	r.Cases[0].Series[0].Runs[0].Seconds = 0.00041
	r.Cases[2].Series[3].Missing = strings.Repeat("a long excuse ", 20)
	var picture bytes.Buffer
	if err := writePicture(&picture, r); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&picture)
	texts, height := 0, 0.0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		right := attribute(t, e, "x") + attribute(t, e, "x2") + attribute(t, e, "width")
		bottom := attribute(t, e, "y") + attribute(t, e, "y2")
		switch e.Name.Local {
		case "svg":
			height = attribute(t, e, "height")
		case "rect":
			if attribute(t, e, "width") <= 0 {
				t.Errorf("a bar without a length: %v", e.Attr)
			}
		case "text":
			texts++
			right += checkText(t, d, e)
		}
		if right > pictureWidth || bottom > height {
			t.Errorf("%s ends at %.0f, %.0f: %v", e.Name.Local, right, bottom, e.Attr)
		}
	}
	if texts < 50 {
		t.Errorf("%d texts", texts)
	}
}

// checkText returns how far a text may reach to the right of its x.
func checkText(t *testing.T, d *xml.Decoder, e xml.StartElement) float64 {
	t.Helper()
	var text string
	if err := d.DecodeElement(&text, &e); err != nil {
		t.Fatal(err)
	}
	if text == "" {
		t.Errorf("an empty text: %v", e.Attr)
	}
	anchor := ""
	for _, a := range e.Attr {
		if a.Name.Local == "text-anchor" {
			anchor = a.Value
		}
	}
	switch width := float64(len([]rune(text)) * letterWidth); anchor {
	case "start":
		return width
	case "middle":
		return width / 2
	default:
		return 0
	}
}

func TestTable(t *testing.T) {
	r := sample()
	r.Targets = judge(r)
	r.Cases[0].Series[3].Missing = "a | b"
	var page strings.Builder
	if err := writeTable(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 400 messages, 50 ms (8.0 MB) | 1.00 s | 1.50 s (1.5 × raw limit) | 113 s " +
			"(75 × popferry) | a \\| b |\n",
		"| not installed |\n",
		"| popferry | 18 | 0 | 7,200 | 7,200 | 7,200 | 0 |\n",
		"| 400 messages, 50 ms | 1.50 s | 4 | 12 |\n",
		"* **PASS** 400 messages, 50 ms: memory: 50 MiB, at most 96 MiB\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	var raw strings.Builder
	if err := writeJSON(&raw, r); err != nil {
		t.Fatal(err)
	}
	var back result
	if err := json.Unmarshal([]byte(raw.String()), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back, cmp.AllowUnexported(series{}, oneRun{})); diff != "" {
		t.Error("JSON loses something", diff)
	}
}
