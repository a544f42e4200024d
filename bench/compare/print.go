package compare

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// Verdict combines the measures that decide. It is slower if any finding is, else faster if any is.
func Verdict(all []Comparison) string {
	says := noDifference
	for _, c := range all {
		for _, f := range c.Findings {
			switch {
			case !c.Measure.Decides:
			case f.Says == Slower:
				return Slower
			case f.Says == faster:
				says = faster
			}
		}
	}
	return says
}

// Print writes the findings, the reasons to doubt them, and the verdict in the last line.
func Print(w io.Writer, before, after *results.Results, all []Comparison) error {
	var b strings.Builder
	fmt.Fprintf(&b, "old: %s\nnew: %s\n", runLine(before), runLine(after))
	for _, d := range doubts(before, after, all) {
		fmt.Fprintf(&b, "note: %s\n", d)
	}
	for _, c := range all {
		if len(c.Findings)+len(c.Floor) > 0 {
			c.print(&b)
		}
	}
	fmt.Fprintf(&b, "\nverdict: %s\n", verdictLine(all))
	_, err := io.WriteString(w, b.String())
	return err
}

func runLine(r *results.Results) string {
	parts := []string{r.Label, r.Program}
	if !r.Began.IsZero() {
		parts = append(parts, r.Began.UTC().Format("2006-01-02 15:04 UTC"))
	}
	n := roundsOf(r)
	parts = append(parts, fmt.Sprintf("%d round%s", n, format.Plural(n)))
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// print writes the findings of one measure. Those of the floor have no verdict.
func (c Comparison) print(b *strings.Builder) {
	how := ""
	if c.ToFloor {
		how = ", the change as a ratio to " + results.Floor + " in the same round"
	}
	fmt.Fprintf(b, "\n%s%s; less than %s is no difference\n", c.Measure.Name, how, format.Percent(c.Measure.Least))
	cells := [][]string{{"", "old", "new", "new/old", "95% interval", "chance", ""}}
	for _, f := range c.Findings {
		cells = append(cells, c.line(f, f.Says))
	}
	for _, f := range c.Floor {
		cells = append(cells, c.line(f, "(the machine)"))
	}
	format.Table(b, cells)
}

func (c Comparison) line(f finding, says string) []string {
	name := f.Impl + ", all together"
	before, after := format.Unknown, format.Unknown
	if f.Workload != nil {
		name = f.Impl + ", " + f.Workload.String()
		before, after = results.MedianText(f.Old, c.Measure.Text), results.MedianText(f.New, c.Measure.Text)
	}
	interval, chance := format.Unknown, format.Unknown
	if f.Change.Low > 0 {
		interval = fmt.Sprintf("%.2f to %.2f", f.Change.Low, f.Change.High)
	}
	if f.Chance > 0 {
		chance = fmt.Sprintf("%.3f", f.Chance)
	}
	return []string{name, before, after, format.TwoDigits(f.Change.Ratio), interval, chance, says}
}

// doubts are the reasons not to trust the comparison.
func doubts(before, after *results.Results, all []Comparison) []string {
	var notes []string
	differ := func(what, a, b string) {
		if a != b {
			notes = append(notes, fmt.Sprintf("%s differs: %q and %q", what, a, b))
		}
	}
	differ("the CPU", before.Machine.CPU, after.Machine.CPU)
	differ("the number of CPUs", fmt.Sprint(before.Machine.CPUs), fmt.Sprint(after.Machine.CPUs))
	differ("the kernel", before.Machine.Kernel, after.Machine.Kernel)
	differ("the governor", before.Machine.Governor, after.Machine.Governor)
	differ("the Go version", before.Machine.Go, after.Machine.Go)
	differ("GOMAXPROCS of the servers", fmt.Sprint(before.Setting.Procs), fmt.Sprint(after.Setting.Procs))
	differ("the network", before.Setting.Network, after.Setting.Network)
	if !maps.Equal(before.Machine.Mitigations, after.Machine.Mitigations) {
		notes = append(notes, "the mitigations of the CPUs' vulnerabilities differ")
	}
	for _, c := range all {
		switch {
		case !c.Measure.Decides:
		case !c.ToFloor:
			notes = append(notes, "not both runs have "+results.Floor+": a machine that was slower in one run looks like "+
				"slower servers")
		default:
			notes = append(notes, floorDoubts(c)...)
		}
		if c.Measure.Decides {
			notes = append(notes, blurDoubts(c)...)
		}
	}
	for name, r := range map[string]*results.Results{"old": before, "new": after} {
		if n := len(r.Failures); n > 0 {
			notes = append(notes, fmt.Sprintf("the %s run had %d failure%s, such as: %s", name, n, format.Plural(n), r.Failures[0]))
		}
	}
	if missing := unmatched(before, after); missing > 0 {
		notes = append(notes, fmt.Sprintf("%d pair%s of server and workload %s only in one of the runs, and not compared",
			missing, format.Plural(missing), map[bool]string{true: "is", false: "are"}[missing == 1]))
	}
	return notes
}

// floorDoubts reports a floor that changed so much that the machine was effectively another one.
func floorDoubts(c Comparison) []string {
	const much = 0.15
	for _, f := range c.Floor {
		if math.Abs(f.Change.Ratio-1) > much {
			return []string{fmt.Sprintf("the machine was not the same: %s itself changed by %.2f under %s", results.Floor,
				f.Change.Ratio, f.Workload.String())}
		}
	}
	return nil
}

// blurDoubts reports rounds that differ so much from each other that finding no difference means little.
func blurDoubts(c Comparison) []string {
	const much = 1.1
	var widths []float64
	for _, f := range c.Findings {
		if f.Workload != nil && f.Change.Low > 0 {
			widths = append(widths, math.Sqrt(f.Change.High/f.Change.Low))
		}
	}
	if width := results.SpreadOf(widths).Median; width > much {
		return []string{fmt.Sprintf("the rounds differ a lot from each other: a change of %s of less than about %s may not show; "+
			"measure more rounds, or on a quieter machine", c.Measure.Name, format.Percent(width-1+c.Measure.Least))}
	}
	return nil
}

// unmatched counts the pairs of server and workload that only one of the runs has.
func unmatched(before, after *results.Results) int {
	type pair struct {
		impl string
		load workload.Workload
	}
	in := make(map[pair]int)
	for which, r := range []*results.Results{before, after} {
		for _, s := range r.Samples {
			in[pair{s.Impl, s.Workload}] |= 1 << which
		}
	}
	n := 0
	for _, where := range in {
		if where != 3 {
			n++
		}
	}
	return n
}

// verdictLine is the verdict with its reasons, the largest change first.
func verdictLine(all []Comparison) string {
	says := Verdict(all)
	var found []finding
	compared := 0
	for _, c := range all {
		if !c.Measure.Decides {
			continue
		}
		compared += len(c.Findings)
		for _, f := range c.Findings {
			if f.Says == says {
				found = append(found, f)
			}
		}
	}
	if says == noDifference {
		return fmt.Sprintf("%s in %d comparisons of CPU per message", says, compared)
	}
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Compare(math.Abs(math.Log(b.Change.Ratio)), math.Abs(math.Log(a.Change.Ratio)))
	})
	f := found[0]
	where := "all together"
	if f.Workload != nil {
		where = f.Workload.String()
	}
	return fmt.Sprintf("%s in %d of %d comparisons of CPU per message, most of all %s, %s: %.2f times the old", says,
		len(found), compared, f.Impl, where, f.Change.Ratio)
}
