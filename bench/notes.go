//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// loadNotes says which samples show the load generator, or the rest of the machine, more than the server.
func loadNotes(p plan, samples []sample) []string {
	var limited, behind []string
	disturbed := 0
	for _, s := range samples {
		name := fmt.Sprintf("%s (%v)", s.Impl, s.Workload)
		if clientLimited(s, p.Procs) && !slices.Contains(limited, name) {
			limited = append(limited, name)
		}
		if fellBehind(s) && !slices.Contains(behind, name) {
			behind = append(behind, name)
		}
		if isDisturbed(s) {
			disturbed++
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
	if disturbed > 0 {
		notes = append(notes, fmt.Sprintf("in %d of %d measurements server or load waited for a CPU that others used: "+
			"messages per second and latencies are worse than the servers are; CPU time per message holds better",
			disturbed, len(samples)))
	}
	return notes
}

// clientLimited tells that the load generator, which is one thread, had no CPU time left, and the server had. At a rate
// it never sleeps long, so there it tells nothing.
func clientLimited(s sample, procs int) bool {
	const full, notFull = 0.95, 0.90
	window := float64(s.Window)
	return s.Workload.Rate == 0 && s.ServerCPU > 0 && window > 0 &&
		float64(s.ClientCPU)/window >= full && float64(s.ServerCPU)/window < notFull*float64(procs)
}

// fellBehind tells that the load generator sent more than one message in a hundred too late.
func fellBehind(s sample) bool { return s.Behind*100 > s.Messages+s.Late }

// isDisturbed tells that others on the machine took so much CPU time that the rate and the latencies show them, too. A
// server or load generator with more runnable threads than CPUs also waits for itself; that does not count here only
// as far as servers have one CPU and the runtime keeps to it.
func isDisturbed(s sample) bool {
	const share = 10
	return max(s.ServerWait, s.ClientWait) > s.Window/time.Duration(share)
}
