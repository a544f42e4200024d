package chart

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"strings"
)

// Charts are SVG that this package writes itself. The available libraries do not fit: gonum/plot has fixed colours, so
// its pictures cannot follow a dark page, and a fixed size, so their text is too small on a phone; go-echarts needs a
// megabyte of JavaScript in the page, or a network.

// Chart is a picture under construction. Lengths are pixels of a picture as wide as a phone, so that its text has the
// right size there.
type Chart struct {
	Name        string   // the number that is shown
	Of          string   // what was measured; a page that says so in a heading of its own leaves it out
	Source      []string // where, when and for how long; a page says so once
	Description string   // for readers who do not see the picture
	width       float64  // 0: chartWidth
	height      float64
	body        strings.Builder
}

// chartWidth is the width of every chart.
const chartWidth = 420

// Style is the style sheet of all charts, light and dark. Text has the colours ink or soft, never that of a series,
// because some of those are almost as light as the page; shapes in such a colour have an outline in ink.
var Style = `
.chart{--bg:#ffffff;--ink:#1b1f24;--soft:#5b6470;--grid:#e3e6ea;` + palette(lightColours) + `}
@media(prefers-color-scheme:dark){.chart{--bg:#14181d;--ink:#e8eaed;--soft:#a3adb8;--grid:#2e353d;` + palette(darkColours) + `}}
.chart{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.chart text{fill:var(--ink)}.chart .soft{fill:var(--soft)}.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}
.chart .name{font-weight:600}.chart .head{font-weight:600;font-size:14px}.chart .back{fill:var(--bg)}.chart .grid{stroke:var(--grid);fill:none}
.chart .floor{stroke:var(--soft);stroke-dasharray:3 3;fill:none}.chart .whisker{stroke:var(--ink);stroke-width:1.2;fill:none}
.chart .gap{stroke:var(--bg);stroke-width:3.4;fill:none}.chart .bar{fill:var(--c);stroke:var(--ink);stroke-width:.8}
.chart .edge{stroke:var(--ink);stroke-width:2.8;fill:none}.chart .curve{stroke:var(--c);stroke-width:1.8;fill:none}
.chart .mark{fill:var(--c);stroke:var(--ink);stroke-width:.8}.chart .lead{stroke:var(--soft);stroke-width:.7;fill:none;opacity:.6}
.chart .boxed{fill:#1b1f24}.chart .f0{fill:#e69f00}.chart .f1{fill:#cfd4da}.chart .f2{fill:#56b4e9}.chart .f3{fill:#f0e442}
.chart .cross{stroke:var(--ink);stroke-width:2;fill:none}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}.s5{--c:var(--c5)}` +
	`.s6{--c:var(--c6)}.s7{--c:var(--c7)}.s8{--c:var(--c8)}
`

func (c *Chart) rect(class string, x, y, w, h float64, tip string) {
	fmt.Fprintf(&c.body, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="2">%s</rect>`, class, px(x), px(y),
		px(max(w, 0)), px(max(h, 0)), tipped(tip))
}

func (c *Chart) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.body, `<path class="%s" d="M%s %sL%s %s"/>`, class, px(x1), px(y1), px(x2), px(y2))
}

func (c *Chart) text(class string, x, y float64, text string) {
	fmt.Fprintf(&c.body, `<text class="%s" x="%s" y="%s">%s</text>`, class, px(x), px(y), escaped(text))
}

// curve draws a line through points.
func (c *Chart) curve(s series, points []point) {
	var d strings.Builder
	for i, p := range points {
		d.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + px(p.X) + " " + px(p.Y))
	}
	for _, class := range []string{"edge", s.class("curve")} {
		fmt.Fprintf(&c.body, `<path class="%s" stroke-dasharray="%s" d="%s"/>`, class, dashes[s.style], d.String())
	}
}

// point is a place in a chart.
type point struct{ X, Y float64 }

// nameWidth estimates the width of the longest name in bold. The font of the reader is not known here.
func nameWidth(names []string) float64 {
	const perLetter = 8.5 // of a wide font
	longest := 0
	for _, n := range names {
		longest = max(longest, len(n))
	}
	return perLetter * float64(longest)
}

// px formats a length with at most one decimal.
func px(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder does not fail
	return b.String()
}

// tipped is the text that appears when the pointer rests on a shape.
func tipped(tip string) string {
	if tip == "" {
		return ""
	}
	return "<title>" + escaped(tip) + "</title>"
}

// Inline is the picture for a page that includes Style.
func (c *Chart) Inline() template.HTML {
	return template.HTML(c.svg("", "", c.Name)) // every text in it was escaped
}

// File is the picture as a file of its own. It has a background, because it may be shown on any page.
func (c *Chart) File() string {
	heading := []string{c.Name, c.Of}
	for _, line := range c.Source {
		heading = append(heading, wrapped(line)...)
	}
	return c.svg(fmt.Sprintf(` xmlns="http://www.w3.org/2000/svg" width="%d"`, 2*chartWidth),
		"<style>"+escaped(Style)+`</style><rect class="back" width="100%" height="100%"/>`, heading...) + "\n"
}

// wrapped breaks a line at commas, so that it is not wider than a chart.
func wrapped(line string) []string {
	const most = 58 // letters, in a wide font
	var lines []string
	for part := range strings.SplitAfterSeq(line, ", ") {
		if n := len(lines); n > 0 && len(lines[n-1])+len(part) <= most {
			lines[n-1] += part
		} else {
			lines = append(lines, part)
		}
	}
	return lines
}

// svg puts lines of text above the picture. The first is its name.
func (c *Chart) svg(attributes, before string, heading ...string) string {
	var head strings.Builder
	y := 2.0
	for i, text := range heading {
		if text == "" {
			continue
		}
		y += 14
		fmt.Fprintf(&head, `<text class="%s" x="4" y="%s">%s</text>`, map[bool]string{true: "head", false: "soft"}[i == 0],
			px(y), escaped(text))
	}
	y += 8
	width := c.width
	if width == 0 {
		width = chartWidth
	}
	return fmt.Sprintf(`<svg class="chart" role="img"%s viewBox="0 0 %s %s"><title>%s</title><desc>%s</desc>%s%s`+
		`<g transform="translate(0 %s)">%s</g></svg>`, attributes, px(width), px(c.height+y),
		escaped(strings.TrimSuffix(c.Name+", "+c.Of, ", ")), escaped(c.Description), before, head.String(), px(y), c.body.String())
}
