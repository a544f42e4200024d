package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// curve is one server in a chart of lines.
type curve struct {
	Impl   string
	Points []point // values, by rising X
	Step   int     // points from one marker to the next; 0 is 1
	Broken bool    // the last point is where it no longer kept up
}

// axis describes an axis.
type axis struct {
	Name  string
	Log   bool
	Ticks []float64
	Text  func(float64) string
	Low   float64
	High  float64
}

// The area of a chart of lines that is for the lines: left of it are the numbers, right of it the names.
const (
	lineLeft            = 56
	lineTop, lineBottom = 8, 238
	lineHeight          = 278
)

// lineChart draws a line for each server and writes its name at the end.
func lineChart(name, of string, x, y axis, curves []curve) *Chart {
	c := &Chart{Name: name, Of: of, Description: linesInWords(curves, x, y), height: lineHeight}
	var names []string
	for _, l := range curves {
		names = append(names, l.Impl)
	}
	right := chartWidth - 19 - nameWidth(names)
	sx := scale{low: x.Low, high: x.High, from: lineLeft, to: right, log: x.Log}
	sy := scale{low: y.Low, high: y.High, from: lineBottom, to: lineTop, log: y.Log}
	for _, v := range y.Ticks {
		c.line("grid", lineLeft, sy.at(v), right, sy.at(v))
		c.text("soft end", lineLeft-6, sy.at(v)+4, y.Text(v))
	}
	for _, v := range x.Ticks {
		c.line("grid", sx.at(v), lineTop, sx.at(v), lineBottom)
		c.text("soft mid", sx.at(v), lineBottom+15, x.Text(v))
	}
	c.text("soft mid", (lineLeft+right)/2, lineBottom+33, x.Name)
	ends := make([]label, 0, len(curves))
	for _, l := range curves {
		if len(l.Points) > 0 {
			ends = append(ends, c.drawCurve(l, x, y, sx, sy))
		}
	}
	c.names(ends, right)
	return c
}

// drawCurve draws one line with its markers, and returns its end.
func (c *Chart) drawCurve(l curve, x, y axis, sx, sy scale) label {
	s := seriesOf(l.Impl)
	places := make([]point, len(l.Points))
	for i, p := range l.Points {
		places[i] = point{sx.at(p.X), sy.at(p.Y)}
	}
	c.curve(s, places)
	for i := 0; i < len(places); i += max(l.Step, 1) {
		c.marker(s, places[i], fmt.Sprintf("%s: %s at %s", l.Impl, y.Text(rounded(l.Points[i].Y)), x.Text(rounded(l.Points[i].X))))
	}
	last := places[len(places)-1]
	if l.Broken {
		c.cross(last)
	}
	return label{l.Impl, s, last, last.Y}
}

// cross marks where a server broke.
func (c *Chart) cross(p point) {
	const arm = 4.5
	c.line("cross", p.X-arm, p.Y-arm, p.X+arm, p.Y+arm)
	c.line("cross", p.X-arm, p.Y+arm, p.X+arm, p.Y-arm)
}

// label is a name beside the end of a line.
type label struct {
	Impl   string
	Series series
	End    point
	Y      float64
}

// names writes the names in the order of the ends of the lines, so that none covers another.
func (c *Chart) names(ends []label, right float64) {
	spaced(ends, 14, lineTop+4, lineBottom+2)
	for _, l := range ends {
		fmt.Fprintf(&c.body, `<path class="lead" d="M%s %sL%s %s"/>`, px(l.End.X), px(l.End.Y), px(right+6), px(l.Y))
		c.marker(l.Series, point{right + 10, l.Y}, "")
		c.text("name", right+17, l.Y+4, l.Impl)
	}
}

// spaced moves labels at least gap apart, and keeps them between top and bottom if there is room.
func spaced(labels []label, gap, top, bottom float64) {
	slices.SortStableFunc(labels, func(a, b label) int {
		switch {
		case a.Y < b.Y:
			return -1
		case a.Y > b.Y:
			return 1
		}
		return 0
	})
	for i := range labels {
		least := top
		if i > 0 {
			least = labels[i-1].Y + gap
		}
		labels[i].Y = max(labels[i].Y, least)
	}
	most := bottom
	for i := len(labels) - 1; i >= 0; i-- {
		labels[i].Y = min(labels[i].Y, most)
		most = labels[i].Y - gap
	}
}

// boundsOf are the lowest and highest Y, to round numbers on a logarithmic axis.
func boundsOf(curves []curve) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, c := range curves {
		for _, p := range c.Points {
			if p.Y > 0 {
				low, high = min(low, p.Y), max(high, p.Y)
			}
		}
	}
	if high == 0 {
		return 1, 10
	}
	return low * 0.9, max(high*1.1, low*2)
}

// linesInWords describes the chart for readers who do not see it.
func linesInWords(curves []curve, x, y axis) string {
	parts := make([]string, 0, len(curves))
	for _, c := range curves {
		if n := len(c.Points); n > 0 {
			last := c.Points[n-1]
			parts = append(parts, fmt.Sprintf("%s %s at %s", c.Impl, y.Text(rounded(last.Y)), x.Text(rounded(last.X))))
		}
	}
	return fmt.Sprintf("%s over %s; at the right end: %s", y.Name, x.Name, strings.Join(parts, ", "))
}
