//go:build linux

package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

// Plan is everything that will be measured. Each round measures every workload on every server in turn, so that a drift
// of the machine affects all servers alike. Every measurement has a server process of its own.
type Plan struct {
	Impls     []string
	Named     bool // the user named them: one that cannot run here is a failure
	Workloads []workload.Workload
	Rounds    int
	Warmup    time.Duration
	Window    time.Duration
	Procs     int // GOMAXPROCS of the servers, and their event loops
	Syscalls  bool
	Work      time.Duration // that servers burn for each message, but for the bare ones
	Label     string
	// ServeFlags are given to every server.
	ServeFlags []string

	ServerCPUs, LoadCPUs []int // none: not confined
	cpus                 []int // that there are
}

// Cell names one measurement.
type Cell struct {
	Impl     string
	Workload workload.Workload
	Round    int
}

func (c Cell) String() string { return fmt.Sprintf("%s, %v, round %d", c.Impl, c.Workload, c.Round+1) }

// perMeasurement is the time that a measurement takes besides warm-up and window: starting and stopping the server, and
// connecting. It only serves to estimate how long a run takes.
const perMeasurement = 250 * time.Millisecond

// Cells lists the measurements in their order, without those that an implementation does not support.
func (p Plan) Cells() []Cell {
	var once []Cell
	for _, w := range p.Workloads {
		for _, name := range p.Impls {
			if im, err := servers.Find(name); err == nil && im.Supports(w) {
				once = append(once, Cell{Impl: name, Workload: w})
			}
		}
	}
	all := make([]Cell, 0, p.Rounds*len(once))
	for round := range p.Rounds {
		for _, c := range once {
			c.Round = round
			all = append(all, c)
		}
	}
	return all
}

// lacking lists the implementations that lack a mode that the plan asks for, one note per mode.
func (p Plan) lacking() []string {
	var order []string
	names := make(map[string][]string)
	for _, w := range p.Workloads {
		mode := w.Mode()
		if slices.Contains(order, mode) {
			continue
		}
		order = append(order, mode)
		for _, name := range p.Impls {
			im, err := servers.Find(name)
			if err != nil || im.Supports(w) || len(im.Modes) == 1 && !p.Named { // which nobody expects elsewhere
				continue
			}
			if why := im.Lacks[mode]; why != "" {
				name += " (" + why + ")"
			}
			names[mode] = append(names[mode], name)
		}
	}
	var notes []string
	for _, mode := range order {
		if len(names[mode]) > 0 {
			notes = append(notes, fmt.Sprintf("left out, because they have no mode %s: %s", mode, strings.Join(names[mode], ", ")))
		}
	}
	return notes
}

// Duration estimates how long everything will take.
func (p Plan) Duration() time.Duration {
	return time.Duration(len(p.Cells())) * (p.Warmup + p.Window + perMeasurement)
}

// Fit chooses a window with which everything takes about d, within the given limits.
func (p *Plan) Fit(d, shortest, longest time.Duration) {
	window := d/time.Duration(max(1, len(p.Cells()))) - p.Warmup - perMeasurement
	p.Window = min(max(window, shortest), longest).Round(10 * time.Millisecond)
}

// Confine assigns the first CPUs to the servers and the next one to the load generator, if there are enough.
func (p *Plan) Confine(cpus []int) {
	p.cpus = cpus
	p.ServerCPUs, p.LoadCPUs = p.confined(p.Procs)
}

// confined chooses the CPUs for a server of so many.
func (p Plan) confined(procs int) (server, load []int) {
	if procs >= len(p.cpus) {
		return nil, nil
	}
	return p.cpus[:procs], p.cpus[procs : procs+1]
}

// of is the plan for the measurements under a workload, which may have its own GOMAXPROCS.
func (p Plan) of(w workload.Workload) Plan {
	if w.Procs > 0 && w.Procs != p.Procs {
		p.Procs = w.Procs
		p.ServerCPUs, p.LoadCPUs = p.confined(w.Procs)
	}
	return p
}

// Check reports what is wrong with a plan made from flags.
func (p Plan) Check() error {
	for i, name := range p.Impls {
		if _, err := servers.Find(name); err != nil {
			return err
		}
		if slices.Contains(p.Impls[:i], name) {
			return fmt.Errorf("implementation %s is named twice", name)
		}
	}
	for i, w := range p.Workloads {
		if err := w.Check(); err != nil {
			return err
		}
		if slices.Contains(p.Workloads[:i], w) {
			return fmt.Errorf("%v is asked for twice", w)
		}
	}
	switch {
	case p.Rounds < 1:
		return fmt.Errorf("bad number of rounds %d: want 1 or more", p.Rounds)
	case p.Procs < 1:
		return fmt.Errorf("bad GOMAXPROCS %d: want 1 or more", p.Procs)
	case p.Window <= 0:
		return fmt.Errorf("bad time to measure %v: want more than 0", p.Window)
	case p.Work < 0:
		return fmt.Errorf("bad time to burn %v: want 0 or more", p.Work)
	case p.Warmup < 0:
		return fmt.Errorf("bad time to warm up %v: want 0 or more", p.Warmup)
	case len(p.Cells()) == 0:
		return fmt.Errorf("there is nothing to measure: %s", strings.Join(p.lacking(), "; "))
	}
	return nil
}

func (p Plan) setting() results.Setting {
	return results.Setting{
		Rounds: p.Rounds, Warmup: p.Warmup, Window: p.Window, Procs: p.Procs,
		ServerCPUs: p.ServerCPUs, LoadCPUs: p.LoadCPUs, Network: "loopback",
	}
}

// FirstRoundDone reports whether everything was measured at least once, which is enough for a quick run on a slow
// machine.
func FirstRoundDone(p Plan, r *results.Results) bool {
	once := p
	once.Rounds = 1
	return len(r.Samples) >= len(once.Cells())
}
