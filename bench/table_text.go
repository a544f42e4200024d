package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// printTable writes what was measured for a terminal: what went wrong and what one should know first, then a section
// for each workload. An error of w is not reported.
func printTable(w io.Writer, r *results) {
	var b strings.Builder
	for _, line := range headLines(r) {
		fmt.Fprintln(&b, line)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILED: %s\n", f)
	}
	sections := summarise(r)
	for _, n := range allNotes(r, sections) {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, "\n%s\n", sec.title())
		writeAligned(&b, sec.cells())
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

// cells are the section's table, its head first. The first column names the server.
func (s section) cells() [][]string {
	columns := s.columns()
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

// writeAligned writes a table: the first column to the left, all others to the right.
func writeAligned(b *strings.Builder, cells [][]string) {
	const first, other = 22, 9
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell), other)
		}
	}
	width[0] = max(width[0], first)
	for _, line := range cells {
		text := "  " + line[0] + strings.Repeat(" ", width[0]-utf8.RuneCountInString(line[0]))
		for i, cell := range line[1:] {
			text += strings.Repeat(" ", 2+width[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		fmt.Fprintln(b, strings.TrimRight(text, " "))
	}
}

// headLines say what was measured, on what and how.
func headLines(r *results) []string {
	var lines []string
	if r.Label != "" {
		lines = append(lines, r.Label)
	}
	return append(lines, machineLine(r.Machine), settingLine(r.Setting))
}

// machineLine describes the machine in one line, as far as it is known.
func machineLine(m machineFacts) string {
	var parts []string
	add := func(format string, v any, ok bool) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add("%s", m.CPU, m.CPU != "")
	add("%d CPUs", m.CPUs, m.CPUs > 0)
	add("%.0f GiB", float64(m.Memory)/(1<<30), m.Memory > 0)
	add("%s", m.Kernel, m.Kernel != "")
	add("governor %s", m.Governor, m.Governor != "")
	add("under %s", m.Virtual, m.Virtual != "")
	add("%s", m.Go, m.Go != "")
	if len(parts) == 0 {
		return "unknown machine"
	}
	return strings.Join(parts, ", ")
}

// settingLine says how it was measured.
func settingLine(s setting) string {
	where := "not confined to CPUs"
	if len(s.ServerCPUs) > 0 {
		where = fmt.Sprintf("server on CPU %s, load on CPU %s", numbers(s.ServerCPUs), numbers(s.LoadCPUs))
	}
	text := fmt.Sprintf("%s; GOMAXPROCS of the servers %d; rounds %d", where, s.Procs, s.Rounds)
	if s.Window > 0 {
		text += fmt.Sprintf(", each measures %v after %v of warm-up", roundTime(s.Window), roundTime(s.Warmup))
	}
	if s.Network != "" {
		text += "; over " + s.Network
	}
	return text
}

func roundTime(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func numbers(n []int) string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(n), "[]")), ",")
}

// serverLine is what a server says of itself.
func serverLine(s serverFacts) string {
	var parts []string
	for _, p := range []string{s.About, s.Version, s.Details} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "; ")
}

// wideSpread is how far a round may be from the median, as a share of it, before a note warns.
const wideSpread = 0.15

// allNotes are those of the run, and those that show only when one looks at all samples.
func allNotes(r *results, sections []section) []string {
	notes := append([]string(nil), r.Notes...)
	disturbed, rows, wide := 0, 0, 0
	for _, s := range r.Samples {
		if s.disturbed() {
			disturbed++
		}
	}
	for _, sec := range sections {
		for _, sum := range sec.Rows {
			if sum.CPU.known() {
				rows++
			}
			if sum.CPU.plusMinus() > wideSpread {
				wide++
			}
			if sum.Unreadable != nil {
				notes = append(notes, fmt.Sprintf("%s, %s: %v", sum.Impl, sec.title(), sum.Unreadable))
			}
		}
	}
	if disturbed > 0 {
		notes = append(notes, fmt.Sprintf("in %d of %d measurements server or load waited for a CPU that others used: "+
			"msg/s and latencies are worse than the servers are; CPU ns/msg holds better", disturbed, len(r.Samples)))
	}
	if wide > 0 {
		notes = append(notes, fmt.Sprintf("in %d of %d rows the rounds differ by more than %.0f %%: too much to conclude "+
			"anything from small differences", wide, rows, wideSpread*100))
	}
	if len(r.Samples) == 0 {
		notes = append(notes, "nothing was measured")
	} else if n := r.Setting.Rounds; n > 0 && n < 5 {
		notes = append(notes, fmt.Sprintf("%d round%s: enough for a look, too few to tell small differences from chance",
			n, plural(n)))
	}
	return notes
}
