package report

import (
	"fmt"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// wideSpread is the relative distance of a round from the median above which a note warns.
const wideSpread = 0.15

// allNotes returns the notes of the run, and those that follow from all samples together.
func allNotes(r *results.Results, sections []results.Section) []string {
	notes := append([]string(nil), r.Notes...)
	disturbed, rows, wide := 0, 0, 0
	for _, s := range r.Samples {
		if s.Disturbed() {
			disturbed++
		}
	}
	for _, sec := range sections {
		for _, sum := range sec.Rows {
			if sum.CPU.Known() {
				rows++
			}
			if sum.CPU.PlusMinus() > wideSpread {
				wide++
			}
			if sum.Unreadable != nil {
				notes = append(notes, fmt.Sprintf("%s, %s: %v", sum.Impl, sec.Title(), sum.Unreadable))
			}
		}
	}
	if disturbed > 0 {
		notes = append(notes, fmt.Sprintf("in %d of %d measurements the server or the load generator waited for a CPU that other "+
			"processes used: msg/s and latencies look worse than they are; CPU ns/msg suffers less", disturbed, len(r.Samples)))
	}
	if wide > 0 {
		notes = append(notes, fmt.Sprintf("in %d of %d rows the rounds differ by more than %.0f %%: too much to draw "+
			"conclusions from small differences", wide, rows, wideSpread*100))
	}
	if len(r.Samples) == 0 {
		notes = append(notes, "nothing was measured")
	} else if n := r.Setting.Rounds; n > 0 && n < 5 {
		notes = append(notes, fmt.Sprintf("%d round%s: enough for a first look, too few to distinguish small differences from chance",
			n, format.Plural(n)))
	}
	return notes
}
