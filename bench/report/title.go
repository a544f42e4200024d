package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// heading says what a report is about.
type heading struct {
	What  string // the label, the servers and the shapes of load
	Where string // the machine
	When  string // the date, and how long it took
}

// String is all of it in one line.
func (h heading) String() string { return strings.Join(h.lines(), "; ") }

// lines are the parts that are known.
func (h heading) lines() []string {
	return slices.DeleteFunc([]string{h.What, h.Where, h.When}, func(s string) bool { return s == "" })
}

// headingOf describes a run.
func headingOf(r *results.Results) heading {
	h := heading{What: shapes(r), Where: machineInShort(r.Machine), When: strings.Join(timesOf(r), ", ")}
	if r.Label != "" {
		h.What = r.Label + ": " + h.What
	}
	return h
}

// shapes names the servers and the loads that were measured: kinds, and from where to where the numbers go.
func shapes(r *results.Results) string {
	if len(r.Samples) == 0 {
		return "nothing was measured"
	}
	var kinds, servers []string
	var conns, sizes, depths, rates extent
	for _, s := range r.Samples {
		if !slices.Contains(kinds, s.Workload.Kind) {
			kinds = append(kinds, s.Workload.Kind)
		}
		if !slices.Contains(servers, s.Impl) {
			servers = append(servers, s.Impl)
		}
		conns.include(s.Workload.Conns)
		sizes.include(s.Workload.Size)
		depths.include(s.Workload.Depth)
		rates.include(s.Workload.Rate)
	}
	text := servers[0]
	if n := len(servers); n > 1 {
		text = fmt.Sprintf("%d servers", n)
	}
	text += fmt.Sprintf(", %s: %s connection%s", strings.Join(kinds, ", "), conns.text(func(n int) string { return fmt.Sprint(n) }),
		format.Plural(conns.high))
	if sizes.high > 0 {
		text += " × " + sizes.text(format.Size)
	}
	if depths.high > 1 {
		text += ", " + depths.text(func(n int) string { return fmt.Sprint(n) }) + " in flight"
	}
	if rates.high > 0 {
		text += ", " + rates.text(func(n int) string { return format.Grouped(float64(n)) }) + "/s offered"
	}
	return text
}

// extent is the least and the greatest of some numbers. Zeros are left out: they say that a number has no meaning.
type extent struct{ low, high int }

func (e *extent) include(n int) {
	if n > 0 && (e.low == 0 || n < e.low) {
		e.low = n
	}
	e.high = max(e.high, n)
}

func (e *extent) text(one func(int) string) string {
	if e.low == e.high {
		return one(e.low)
	}
	return one(e.low) + " to " + one(e.high)
}

// machineInShort is the machine without what only the details need.
func machineInShort(m results.Machine) string {
	parts := []string{strings.NewReplacer("(R)", "", "(TM)", "", "(r)", "", "(tm)", "").Replace(m.CPU)}
	if m.CPUs > 0 {
		parts = append(parts, fmt.Sprintf("%d CPU%s", m.CPUs, format.Plural(m.CPUs)))
	}
	parts = append(parts, m.Kernel)
	if m.Virtual != "" {
		parts = append(parts, "under "+m.Virtual)
	}
	known := slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	if len(known) == 0 {
		return "unknown machine"
	}
	return strings.Join(known, ", ")
}

// timesOf is when the run began, how long it took, and how many rounds it had, as far as they are known.
func timesOf(r *results.Results) []string {
	var parts []string
	if !r.Began.IsZero() {
		parts = append(parts, r.Began.UTC().Format("2006-01-02 15:04 UTC"))
	}
	if r.Took > 0 {
		parts = append(parts, "took "+lengthText(r.Took))
	}
	if n := r.Setting.Rounds; n > 0 {
		parts = append(parts, fmt.Sprintf("%d round%s", n, format.Plural(n)))
	}
	return parts
}

// lengthText is a duration as people say it.
func lengthText(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
