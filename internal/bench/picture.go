package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// The measures of the picture, in pixels.
const (
	pictureWidth = 760
	barsFrom     = 100 // left end of the bars; the names are to the left of it
	barsTo       = 560 // right end of the scale; what a bar says is to the right of it
	barHeight    = 16
	barStep      = 21
	groupGap     = 34
	topMargin    = 66
	footMargin   = 50
	letterWidth  = 7 // of text of 12 px, rather too much than too little
)

// styles are colours that can be read by day and by night: the picture brings its own ground, since
// a page may have another mind than the browser.
const styles = `
text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328;
paint-order:stroke;stroke:#ffffff;stroke-width:3px}
.title{font-size:15px;font-weight:600}.group{font-weight:600}.note{fill:#59636e}
.ground{fill:#ffffff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}
.raw-limit{fill:#8c959f}.popferry{fill:#0969da}.movemail{fill:#bf8700}.fdm{fill:#bc4c00}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3;stroke:#0d1117}.note{fill:#9198a1}
.ground{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}
.raw-limit{fill:#768390}.popferry{fill:#4493f8}.movemail{fill:#d29922}.fdm{fill:#db6d28}
}
`

// bar is one program in one group.
type bar struct {
	name  string
	value float64 // messages a second, 0 for none
	text  string
}

// group is one workload.
type group struct {
	title string
	bars  []bar
}

// drawing is an SVG that is being written.
type drawing struct {
	strings.Builder
	low, high int // powers of ten at the ends of the scale
}

// writePicture draws the workloads that all programs took part in.
func writePicture(w io.Writer, r result) error {
	var groups []group
	for _, c := range r.Cases {
		if c.of(movemail) != nil {
			groups = append(groups, c.bars())
		}
	}
	note := fmt.Sprintf("Dovecot %s on both sides, mail in memory, %d cores, %s; medians",
		r.Machine.Programs["dovecot"], r.Machine.Cores, r.Date.Format("2006-01-02"))
	_, err := io.WriteString(w, draw(groups, note))
	return err
}

// bars turns times into messages a second.
func (m measured) bars() group {
	g := group{title: m.Title + " round trip"}
	for _, name := range toolNames() {
		s := m.of(name)
		b := bar{name: name}
		if seconds, ok := s.seconds(); ok {
			b.value = float64(s.Messages) / seconds
			b.text = rate(b.value) + ", " + duration(seconds)
			if s.Messages != m.Messages {
				b.text += fmt.Sprintf(" for %s", thousands(s.Messages))
			}
		} else {
			b.text = s.excuse()
		}
		g.bars = append(g.bars, b)
	}
	return g
}

// draw returns the picture.
func draw(groups []group, note string) string {
	d := &drawing{}
	d.scale(groups)
	height := topMargin + footMargin
	for _, g := range groups {
		height += groupGap + barStep*len(g.bars)
	}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" `+
		`height="%[2]d" role="img" aria-label="Messages per second by round trip and program">`,
		pictureWidth, height)
	fmt.Fprintf(d, "\n<style>%s</style>\n", styles)
	fmt.Fprintf(d, `<rect class="ground" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>`+"\n",
		pictureWidth-1, height-1)
	d.text("title", 16, 28, "start", "Messages per second from POP3 to IMAP")
	d.text("note", 16, 47, "start", "logarithmic scale, longer is faster")
	d.grid(topMargin, height-footMargin)
	y := topMargin
	for _, g := range groups {
		y = d.group(g, y)
	}
	d.text("note", 16, height-14, "start", note)
	d.WriteString("</svg>\n")
	return d.String()
}

// scale finds the powers of ten around all values.
func (d *drawing) scale(groups []group) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, g := range groups {
		for _, b := range g.bars {
			if b.value > 0 {
				low, high = min(low, b.value), max(high, b.value)
			}
		}
	}
	if low > high {
		low, high = 1, 10
	}
	// The shortest bar is a tenth of a power of ten at least.
	d.low = int(math.Floor(math.Log10(low) - 0.1))
	d.high = max(int(math.Ceil(math.Log10(high))), d.low+1)
}

// at returns where a value ends.
func (d *drawing) at(value float64) float64 {
	part := (math.Log10(value) - float64(d.low)) / float64(d.high-d.low)
	return barsFrom + part*(barsTo-barsFrom)
}

// grid draws a line for each power of ten.
func (d *drawing) grid(top, bottom int) {
	for power := d.low; power <= d.high; power++ {
		x := d.at(math.Pow10(power))
		fmt.Fprintf(d, `<line class="grid" x1="%.1[1]f" y1="%[2]d" x2="%.1[1]f" y2="%[3]d"/>`+"\n",
			x, top, bottom)
		label := fmt.Sprint(math.Pow10(power))
		if power >= 0 {
			label = thousands(int(math.Pow10(power)))
		}
		d.text("note", int(x), bottom+15, "middle", label)
	}
}

// group draws a workload below y and returns where the next one goes.
func (d *drawing) group(g group, y int) int {
	d.text("group", 16, y+20, "start", g.title)
	y += groupGap - 6
	for _, b := range g.bars {
		d.text("", barsFrom-8, y+barHeight-4, "end", b.name)
		end := float64(barsFrom)
		if b.value > 0 {
			end = d.at(b.value)
			fmt.Fprintf(d, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n",
				strings.ReplaceAll(b.name, " ", "-"), barsFrom, y, end-barsFrom, barHeight)
		}
		room := (pictureWidth - 8 - int(end)) / letterWidth
		d.text("", int(end)+6, y+barHeight-4, "start", clip(b.text, room))
		y += barStep
	}
	return y + 6
}

// clip shortens text to a number of letters.
func clip(text string, room int) string {
	letters := []rune(text)
	if len(letters) <= room {
		return text
	}
	return string(letters[:max(0, room-1)]) + "…"
}

func (d *drawing) text(class string, x, y int, anchor, text string) {
	fmt.Fprintf(d, `<text class="%s" x="%d" y="%d" text-anchor="%s">`, class, x, y, anchor)
	_ = xml.EscapeText(d, []byte(text)) // a Builder takes everything
	d.WriteString("</text>\n")
}
