package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// Table writes the results for a terminal: failures and notes first, then a section for each workload. An error of w is
// not reported.
func Table(w io.Writer, r *results.Results) {
	var b strings.Builder
	for _, line := range headLines(r) {
		fmt.Fprintln(&b, line)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILED: %s\n", f)
	}
	sections := results.Summarise(r)
	for _, n := range allNotes(r, sections) {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, "\n%s\n", sec.Title())
		format.Table(&b, cellsOf(sec))
	}
	b.WriteString("\nMedians over the rounds. ±: the round furthest from the median of CPU ns/msg. to NAME: CPU ns/msg as a multiple\n" +
		"of that server's in the same round.\n")
	for _, s := range r.Servers {
		if about := serverLine(s); about != "" {
			fmt.Fprintf(&b, "%s: %s\n", s.Impl, about)
		}
	}
	_, _ = io.WriteString(w, b.String())
}

// cellsOf returns the table of a section, its head first. The first column names the server.
func cellsOf(s results.Section) [][]string {
	columns := columnsOf(s)
	head := []string{""}
	for _, c := range columns {
		head = append(head, c.Name)
	}
	cells := [][]string{head}
	for i, sum := range s.Rows {
		name := sum.Impl
		if i > 0 && s.Rows[i-1].Impl == name {
			name = "" // the next rate of the same server
		}
		line := []string{name}
		for _, c := range columns {
			line = append(line, c.Text(sum))
		}
		cells = append(cells, line)
	}
	return cells
}
