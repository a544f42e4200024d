package chart

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// perfSuffix ends the name of a file that perf-script(1) has written with -F period,ip,sym,dso, of samples of the event
// cpu-clock, whose periods are nanoseconds.
const perfSuffix = ".perf"

// kernelSuffix is put behind the name of a function of the kernel.
const kernelSuffix = " (kernel)"

// readPerf adds the samples of such a file. Each is a line with the period, a line for each function, the innermost
// first, and an empty line.
func (f *flame) readPerf(text string) error {
	var names []string
	var period int64
	end := func() {
		if period > 0 {
			slices.Reverse(names)
			f.add(names, period)
		}
		names, period = nil, 0
	}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		_, rest, _ := strings.Cut(line, " ")
		program := strings.LastIndex(rest, " (")
		switch {
		case line == "":
			end()
		case period == 0:
			var err error
			if period, err = strconv.ParseInt(line, 10, 64); err != nil || period <= 0 {
				return fmt.Errorf("line %d: not the period of a sample of perf script -F period,ip,sym,dso: %q", i+1, line)
			}
		case program < 0:
			return fmt.Errorf("line %d: not an address, a function and its program: %q", i+1, line)
		default:
			name := rest[:program]
			if rest[program:] == " ([kernel.kallsyms])" {
				name += kernelSuffix
			}
			names = append(names, name)
		}
	}
	end()
	return nil
}
