//go:build linux

package main

import (
	"fmt"
	"strings"
)

// The columns. Every line of the table is made by the same format.
const (
	columns = "%-22s %10s %9s %9s %9s %11s %10s %9s\n"
	nothing = "–"
)

// table renders what was measured: a head, a section for each shape, and what went wrong.
func (r *report) table(machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", machine, r.describe())
	fmt.Fprintf(&b, columns, "", "msg/s", "p50 µs", "p99 µs", "p99.9 µs", "CPU ns/msg", "CPU ratio", "load CPU")
	for _, s := range r.Shapes {
		fmt.Fprintf(&b, "%s\n", s)
		for _, impl := range r.Impls {
			b.WriteString(r.row(impl, s).String())
		}
	}
	fmt.Fprintf(&b, "\nEvery number is the median over the rounds. CPU ratio: to %s in the same round.\n", floorName)
	for _, impl := range r.Impls {
		if about := r.details[impl]; about != "" {
			fmt.Fprintf(&b, "%s: %s\n", impl, about)
		}
	}
	if n := r.disturbed(); n > 0 {
		fmt.Fprintf(&b, "note: in %d of %d measurements server or load waited for a CPU that others used: msg/s and "+
			"latencies\n      are worse than the servers are; CPU ns/msg holds better\n", n, len(r.results))
	}
	for _, note := range r.notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, f := range r.failures {
		fmt.Fprintf(&b, "FAILED: %s\n", f)
	}
	return b.String()
}

// String is the line of the table.
func (r row) String() string {
	name := "  " + r.Impl
	if r.Failed {
		name += " FAILED"
	}
	if r.Rounds == 0 {
		return fmt.Sprintf(columns, name, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
	}
	return fmt.Sprintf(columns, name,
		fmt.Sprintf("%.0f", r.Rate),
		fmt.Sprintf("%.0f", r.P50), fmt.Sprintf("%.0f", r.P99), fmt.Sprintf("%.0f", r.P999),
		known(r.CPU, "%.0f"), known(r.Ratio, "%.2f"),
		fmt.Sprintf("%.0f%%", 100*r.ClientShare))
}

// known renders a number that may be unknown, which 0 stands for.
func known(v float64, format string) string {
	if v == 0 {
		return nothing
	}
	return fmt.Sprintf(format, v)
}
