//go:build linux

package campaign

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/results"
)

// loadNotes names the samples that show the limits of the load generator rather than of the server.
func loadNotes(p Plan, samples []results.Sample) []string {
	var limited, behind []string
	for _, s := range samples {
		name := fmt.Sprintf("%s (%v)", s.Impl, s.Workload)
		if clientLimited(s, p.of(s.Workload).Procs) && !slices.Contains(limited, name) {
			limited = append(limited, name)
		}
		if fellBehind(s) && !slices.Contains(behind, name) {
			behind = append(behind, name)
		}
	}
	var notes []string
	if len(limited) > 0 {
		notes = append(notes, "the load generator was the limit, not the server, so messages per second and latencies are "+
			"its own: "+strings.Join(limited, "; "))
	}
	if len(behind) > 0 {
		notes = append(notes, "the load generator could not keep the rate, so latencies are too high: "+
			strings.Join(behind, "; "))
	}
	return notes
}

// clientLimited reports whether the load generator, which is one thread, had no CPU time left while the server had
// some. At a fixed rate the generator never sleeps for long, so the answer is always false.
func clientLimited(s results.Sample, procs int) bool {
	const full, notFull = 0.95, 0.90
	window := float64(s.Window)
	return s.Workload.Rate == 0 && s.ServerCPU > 0 && window > 0 &&
		float64(s.ClientCPU)/window >= full && float64(s.ServerCPU)/window < notFull*float64(procs)
}

// fellBehind reports whether the load generator sent more than one message in a hundred too late.
func fellBehind(s results.Sample) bool { return s.Behind*100 > s.Messages+s.Late }
