package chart

import (
	"fmt"
	"math"

	"github.com/tandem-io/tandem/bench/results"
)

// Bar is one server in a chart of bars.
type Bar struct {
	Impl  string
	Value results.Spread
	Label string // the value in words
}

// Bars draws a horizontal bar for each server, from zero on, with a line from the lowest round to the highest. The
// dashed line is the floor. A server without a value keeps its name and has no bar.
func Bars(name, of, unit string, bars []Bar) *Chart {
	const (
		top, step, thick = 6, 25, 15
		right, bottom    = 322, 36
	)
	var names []string
	for _, b := range bars {
		names = append(names, b.Impl)
	}
	left := nameWidth(names) + 12
	plot := float64(top + step*len(bars))
	c := &Chart{Name: name, Of: of, Description: barsInWords(bars, unit), height: plot + bottom}
	most := 0.0
	for _, b := range bars {
		most = max(most, b.Value.High)
	}
	steps := roundSteps(most, 4)
	x := scale{low: 0, high: steps[len(steps)-1], from: left, to: right}
	for _, v := range steps {
		c.line("grid", x.at(v), top, x.at(v), plot)
		c.text("soft mid", x.at(v), plot+15, ShortNumber(v))
	}
	c.text("soft mid", (left+right)/2, plot+31, unit)
	for i, b := range bars {
		y := float64(top + step*i + (step-thick)/2)
		middle := y + thick/2.0
		c.text("name end", left-7, middle+4, b.Impl)
		if !b.Value.Known() {
			c.text("soft", left+6, middle+4, "not measured")
			continue
		}
		tip := fmt.Sprintf("%s: %s %s, rounds %d, from %s to %s", b.Impl, b.Label, unit, b.Value.N, ShortNumber(b.Value.Low),
			ShortNumber(b.Value.High))
		c.rect(seriesOf(b.Impl).class("bar"), left, y, x.at(b.Value.Median)-left, thick, tip)
		if b.Value.N > 1 {
			c.whisker(x.at(b.Value.Low), x.at(b.Value.High), middle)
		}
		c.text("end", chartWidth-3, middle+4, b.Label)
	}
	for _, b := range bars {
		if b.Impl == results.Floor && b.Value.Known() {
			c.line("floor", x.at(b.Value.Median), top-3, x.at(b.Value.Median), plot)
		}
	}
	return c
}

// whisker is a line with an end on each side.
func (c *Chart) whisker(from, to, y float64) {
	const end = 3.5
	c.line("gap", from, y, to, y) // else it would not show on a bar of its own colour
	c.line("whisker", from, y, to, y)
	c.line("whisker", from, y-end, from, y+end)
	c.line("whisker", to, y-end, to, y+end)
}

// barsInWords describes the chart for readers who do not see it.
func barsInWords(bars []Bar, unit string) string {
	text := unit + ":"
	for i, b := range bars {
		if i > 0 {
			text += ","
		}
		label := b.Label
		if !b.Value.Known() {
			label = "not measured"
		}
		text += " " + b.Impl + " " + label
	}
	return text
}

// AnyKnown reports whether there is anything to draw.
func AnyKnown(bars []Bar) bool {
	for _, b := range bars {
		if b.Value.Known() && !math.IsNaN(b.Value.Median) {
			return true
		}
	}
	return false
}
