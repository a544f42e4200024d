//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// report prints trials as they end, and keeps them.
type report struct {
	out    io.Writer
	trials []*trial
	status int
}

// header begins the lines of a server.
func (r *report) header(g *target) {
	_, _ = fmt.Fprintf(r.out, "\n%s, %s limits: at rest %d descriptors, %s\n", g.backend, g.limits.Name,
		g.rest.descriptors, amount(float64(g.rest.memory)/mib, mebibytes))
}

// add prints what became of a trial.
func (r *report) add(t *trial) {
	r.trials = append(r.trials, t)
	broken := t.broken()
	word := "ok"
	if len(broken) > 0 {
		word = "BROKEN"
	}
	_, _ = fmt.Fprintf(r.out, "  %-18s %-6s %s\n", t.Attack, word, t.What)
	for _, b := range broken {
		r.status = 1
		_, _ = fmt.Fprintf(r.out, "      BROKEN: %s\n", b)
	}
}

// fail notes what was not an attack's doing.
func (r *report) fail(format string, args ...any) {
	r.status = 1
	_, _ = fmt.Fprintf(r.out, "\nFAILED: "+format+"\n", args...)
}

// most returns the figure and the bound of a name.
func (t *trial) cell(what string) string {
	for _, b := range t.Bounds {
		if b.What == what {
			return fmt.Sprintf("%s ≤ %s", amount(b.Value, ""), amount(b.Most, ""))
		}
	}
	return "-"
}

// table prints all trials.
func (r *report) table() {
	if len(r.trials) == 0 {
		return
	}
	_, _ = fmt.Fprintf(r.out, "\nEach cell is what was measured, and its bound. Latency is that of well-behaved streams, in ms. "+
		"Memory is resident, in MiB.\nTurns are those of a loop in a second, while the attackers are connected and silent. "+
		"Rid is when the server\nhad got rid of them by itself, in ms.\n\n")
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "attack\tbackend\tlimits\tpeers\tconnects\tcalm p50\tp99\tp50\tp99\tpeak memory\tturns\tCPU %\trid\tafterwards: memory\tdescriptors")
	for _, t := range r.trials {
		gone := "-"
		if t.Gone > 0 {
			gone = millis(t.Gone)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\t%s\t%s\n", t.Attack, t.Backend, t.Limits, t.Peers,
			t.Attackers.Connects, millis(t.Calm.P50), millis(t.Calm.P99), millis(t.Attacked.P50),
			t.cell("p99 of well-behaved streams"), t.cell("peak of resident memory"),
			t.cell("turns of a loop in a second of silence"), t.Silent.CPU, gone, t.cell("resident memory afterwards"),
			t.cell("descriptors afterwards"))
	}
	_ = w.Flush()
	bounds := 0
	for _, t := range r.trials {
		bounds += len(t.Bounds)
	}
	_, _ = fmt.Fprintf(r.out, "\n%d attacks, %d bounds checked\n", len(r.trials), bounds)
}

func millis(d time.Duration) string { return amount(float64(d.Round(10*time.Microsecond))/1e6, "") }

// save writes the trials to a file.
func (r *report) save(name string) error {
	p, err := json.MarshalIndent(r.trials, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(p, '\n'), 0o644)
}
