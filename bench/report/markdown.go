package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/tandem-io/tandem/bench/results"
)

// Markdown writes the tables for a README. It names the command that made them, because such tables should not be
// edited by hand.
func Markdown(w io.Writer, r *results.Results) error {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Made by: bench report --markdown FILE results.json -->\n\n")
	about := headingOf(r)
	fmt.Fprintf(&b, "**%s.** %s", cellText(about.What), cellText(about.When))
	if r.Program != "" {
		fmt.Fprintf(&b, "; version %s", r.Program)
	}
	fmt.Fprintf(&b, ".\n%s; %s.\n\n", cellText(machineLine(r.Machine)), cellText(settingLine(r.Setting)))
	sections := results.Summarise(r)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "- **FAILED:** %s\n", cellText(f))
	}
	for _, n := range allNotes(r, sections) {
		fmt.Fprintf(&b, "- %s\n", cellText(n))
	}
	if g := atAGlance(r, sections); g != nil {
		fmt.Fprintf(&b, "\n### CPU time per message, as a multiple of %s in the same round\n\n", results.Floor)
		cells := [][]string{append([]string{""}, g.Impls...)}
		for _, line := range g.Lines {
			texts := []string{line.Title}
			for _, c := range line.Cells {
				text := c.Text
				if c.Best {
					text = "**" + text + "**"
				}
				texts = append(texts, text)
			}
			cells = append(cells, texts)
		}
		markdownTable(&b, cells)
		b.WriteString("\nLess is better. " + g.Legend() + "\n")
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, "\n### %s\n\n", sec.Title())
		markdownTable(&b, cellsOf(sec))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownTable writes a table, its head first: the first column to the left, all others to the right.
func markdownTable(b *strings.Builder, cells [][]string) {
	for i, line := range cells {
		b.WriteByte('|')
		for _, cell := range line {
			b.WriteString(" " + cellText(cell) + " |")
		}
		b.WriteByte('\n')
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(line)-1) + "\n")
		}
	}
}

// cellText escapes what Markdown would take for markup.
func cellText(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "_", `\_`).Replace(text)
}
