package chart

import (
	"fmt"
	"slices"

	"github.com/tandem-io/tandem/bench/results"
)

// seriesOrder gives each server the same colour, dash and marker in every report.
var seriesOrder = []string{
	results.Floor, "bare-uring", "net", "tandem-epoll", "tandem-uring", "gnet", "netpoll", "nbio", "evio",
	"tandem-uring-defer", "tandem-uring-coop", "tandem-uring-plain", "tandem-uring-oneshot",
}

// colours is the number of different colours, dashes and markers.
const colours = 9

// series is how a server is drawn. There are more servers than colours: those that share one have another dash and
// another marker.
type series struct{ colour, style int }

// seriesOf looks up a server. One that is not listed gets a series by its name.
func seriesOf(impl string) series {
	n := slices.Index(seriesOrder, impl)
	if n < 0 {
		n = len(seriesOrder)
		for _, c := range impl {
			n += int(c)
		}
		n %= colours * colours
	}
	return series{colour: n % colours, style: (n + n/colours) % colours}
}

// class adds the series' colour to a class.
func (s series) class(class string) string { return fmt.Sprintf("%s s%d", class, s.colour) }

// The palette of Okabe and Ito ("Color Universal Design", 2008), whose colours stay distinct under every common kind of
// colour vision, and a grey. On a dark page their black becomes white.
var (
	lightColours = [colours]string{"#000000", "#555555", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#cc79a7", "#f0e442"}
	darkColours  = [colours]string{"#ffffff", "#666666", "#e69f00", "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#cc79a7", "#f0e442"}
)

// dashes and markers distinguish lines without colour.
var (
	dashes = [colours]string{"none", "6 3", "2 2", "12 3", "8 3 2 3", "4 2", "1.5 3", "10 3 2 3 2 3", "3 5"}

	// markers are paths around their middle, 3 pixels to each side.
	markers = [colours]string{
		"M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",                          // circle
		"M-2.7 -2.7h5.4v5.4h-5.4z",                                     // square
		"M0 -3.4L3.4 2.7H-3.4z",                                        // triangle, up
		"M0 -3.9L3.9 0L0 3.9L-3.9 0z",                                  // diamond
		"M0 3.4L3.4 -2.7H-3.4z",                                        // triangle, down
		"M-1.1 -3.5h2.2v2.4h2.4v2.2h-2.4v2.4h-2.2v-2.4h-2.4v-2.2h2.4z", // plus
		"M-3.4 0L2.7 -3.4V3.4z",                                        // triangle, left
		"M3.4 0L-2.7 -3.4V3.4z",                                        // triangle, right
		"M-3 -3.2H3L0 0L3 3.2H-3L0 0z",                                 // hourglass
	}
)

// palette is the part of Style that names the colours.
func palette(c [colours]string) string {
	text := ""
	for i, colour := range c {
		text += fmt.Sprintf("--c%d:%s;", i, colour)
	}
	return text
}

// marker draws the series' marker.
func (c *Chart) marker(s series, p point, tip string) {
	fmt.Fprintf(&c.body, `<path class="%s" transform="translate(%s %s)" d="%s">%s</path>`, s.class("mark"), px(p.X), px(p.Y),
		markers[s.style], tipped(tip))
}
