package report

import (
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// glance is the ratio of every server under every workload.
type glance struct {
	Impls []string
	Lines []glanceLine
}

type glanceLine struct {
	Title string
	Cells []glanceCell
}

type glanceCell struct {
	Text   string
	Best   bool // below all others but the floors, by more than the spread
	ratio  results.Spread
	ranked bool // known, and not a floor
}

// fewestRounds is the least number of rounds whose spread says anything.
const fewestRounds = 3

// atAGlance is nil if no server was measured together with the one it is compared with.
func atAGlance(r *results.Results, sections []results.Section) *glance {
	g := glance{Impls: results.ServerOrder(r)}
	for _, sec := range sections {
		if sec.Open {
			continue
		}
		if line := glanceLineOf(sec, g.Impls); slices.ContainsFunc(line.Cells, func(c glanceCell) bool { return c.ranked }) {
			g.Lines = append(g.Lines, line)
		}
	}
	if len(g.Lines) == 0 {
		return nil
	}
	return &g
}

func glanceLineOf(sec results.Section, impls []string) glanceLine {
	line := glanceLine{Title: sec.Title(), Cells: make([]glanceCell, len(impls))}
	if sec.Base != results.Floor {
		line.Title += " (" + sec.Base + " is 1.00)"
	}
	for i, impl := range impls {
		cell := &line.Cells[i]
		cell.Text = format.Unknown
		at := slices.IndexFunc(sec.Rows, func(s results.Summary) bool { return s.Impl == impl && s.Ratio.Known() })
		if at >= 0 {
			cell.ratio = sec.Rows[at].Ratio
			cell.Text = format.TwoDigits(cell.ratio.Median)
			cell.ranked = !strings.HasPrefix(impl, "bare-")
		}
	}
	line.markBest()
	return line
}

// markBest marks the lowest if the difference exceeds the spread: its highest round is below the lowest round of every
// other server. Floors do not compete, and a single server has no competitor.
func (l glanceLine) markBest() {
	for i := range l.Cells {
		rivals, beaten := 0, 0
		for j, other := range l.Cells {
			if i == j || !other.ranked {
				continue
			}
			rivals++
			if other.ratio.N >= fewestRounds && l.Cells[i].ratio.High < other.ratio.Low {
				beaten++
			}
		}
		mine := &l.Cells[i]
		mine.Best = mine.ranked && mine.ratio.N >= fewestRounds && rivals > 0 && beaten == rivals
	}
}

// Legend explains the marks.
func (g *glance) Legend() string {
	marked := slices.ContainsFunc(g.Lines, func(l glanceLine) bool {
		return slices.ContainsFunc(l.Cells, func(c glanceCell) bool { return c.Best })
	})
	if !marked {
		return "No server is marked: in every line the lowest, floors aside, differs from the others by less than the spread."
	}
	return "Bold: lower than every other server but the floors, by more than the spread: its highest round is below the " +
		"lowest round of each. Where nothing is bold, the difference is within the spread."
}
