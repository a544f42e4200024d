//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// shape is a kind of load.
type shape struct{ Conns, Size, Depth int }

func (s shape) String() string {
	text := fmt.Sprintf("%d connections × %s", s.Conns, byteCount(s.Size))
	if s.Depth > 1 {
		text += fmt.Sprintf(", %d in flight", s.Depth)
	}
	return text
}

func byteCount(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// plan is everything that is going to be measured. Each round starts every server once and loads it with every shape,
// so that a drift of the machine meets all of them alike.
type plan struct {
	Impls  []string
	Named  bool // the user named them: one that cannot run here is a failure
	Shapes []shape
	Rounds int
	Warmup time.Duration
	Window time.Duration
	Procs  int // GOMAXPROCS of the servers

	ServerCPUs, LoadCPUs []int // none: not confined
}

// perMeasurement is what a measurement costs beside warm-up and window: connecting, and its share of starting and
// ending the server. It only serves to tell how long all will take.
const perMeasurement = 150 * time.Millisecond

// measurements is how many there are in all.
func (p plan) measurements() int { return len(p.Impls) * len(p.Shapes) * p.Rounds }

// duration is how long everything will take, about.
func (p plan) duration() time.Duration {
	return time.Duration(p.measurements()) * (p.Warmup + p.Window + perMeasurement)
}

// fit makes the windows so long that everything takes d, but none longer than a second or shorter than a fifth.
func (p *plan) fit(d time.Duration) {
	window := d/time.Duration(p.measurements()) - p.Warmup - perMeasurement
	p.Window = min(max(window, 200*time.Millisecond), time.Second).Round(10 * time.Millisecond)
}

// confine gives the servers the first CPUs and the load generator the next one, if there are enough.
func (p *plan) confine(cpus []int) {
	if p.Procs < len(cpus) {
		p.ServerCPUs, p.LoadCPUs = cpus[:p.Procs], cpus[p.Procs:p.Procs+1]
	}
}

// describe says how it is measured, below what it is measured on.
func (p plan) describe() string {
	where := "not confined to CPUs"
	if p.ServerCPUs != nil {
		where = fmt.Sprintf("server on CPU %s, load on CPU %s", cpuList(p.ServerCPUs), cpuList(p.LoadCPUs))
	}
	return fmt.Sprintf("%s; GOMAXPROCS of the servers %d; rounds %d, each measures %v after %v of warm-up",
		where, p.Procs, p.Rounds, p.Window, p.Warmup)
}

func cpuList(cpus []int) string {
	text := make([]string, len(cpus))
	for i, cpu := range cpus {
		text[i] = fmt.Sprint(cpu)
	}
	return strings.Join(text, ",")
}

// check reports what is wrong with a plan made from flags.
func (p plan) check() error {
	for i, name := range p.Impls {
		if _, err := findImplementation(name); err != nil {
			return err
		}
		if slices.Contains(p.Impls[:i], name) {
			return fmt.Errorf("implementation %s is named twice", name)
		}
	}
	switch {
	case p.Rounds < 1:
		return fmt.Errorf("bad number of rounds %d: want 1 or more", p.Rounds)
	case p.Procs < 1:
		return fmt.Errorf("bad GOMAXPROCS %d: want 1 or more", p.Procs)
	case p.Window <= 0:
		return fmt.Errorf("bad time to measure %v: want more than 0", p.Window)
	}
	return nil
}
