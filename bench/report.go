//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// loadResult is what one measurement gave. It is what load prints, as JSON; durations are in nanoseconds.
type loadResult struct {
	Messages int64         `json:"messages"`
	Window   time.Duration `json:"window_ns"` // as long as it really was
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`

	ServerCPU  time.Duration `json:"server_cpu_ns"`  // 0 without a process to look at
	ServerWait time.Duration `json:"server_wait_ns"` // could have run, while somebody else had the CPU
	ClientCPU  time.Duration `json:"client_cpu_ns"`  // of the load generator itself
	ClientWait time.Duration `json:"client_wait_ns"`
}

// rate is messages per second.
func (r loadResult) rate() float64 { return float64(r.Messages) / r.Window.Seconds() }

// cpuPerMessage is the server's CPU time per message, in nanoseconds.
func (r loadResult) cpuPerMessage() float64 { return float64(r.ServerCPU) / float64(r.Messages) }

// clientShare is how much of one CPU the load generator used.
func (r loadResult) clientShare() float64 { return r.ClientCPU.Seconds() / r.Window.Seconds() }

// disturbed tells that others on the machine took so much CPU time that the rate and the latencies show them, too.
func (r loadResult) disturbed() bool {
	const share = 10
	return max(r.ServerWait, r.ClientWait) > r.Window/share
}

// cell names one measurement.
type cell struct {
	Impl  string
	Shape shape
	Round int
}

// report collects what was measured, and what went wrong.
type report struct {
	plan
	results  map[cell]loadResult
	details  map[string]string // what the servers said of themselves
	failures []failure
	notes    []string        // what the reader should know, but is no failure
	absent   map[string]bool // implementations that this machine cannot run
}

// failure is a measurement that could not be made or found a wrong answer.
type failure struct {
	Impl  string
	Shape *shape // nil: starting or ending the server
	Round int
	Err   error
}

func (f failure) String() string {
	where := f.Impl
	if f.Shape != nil {
		where += ", " + f.Shape.String()
	}
	return fmt.Sprintf("%s, round %d: %v", where, f.Round+1, f.Err)
}

func newReport(p plan) *report {
	return &report{
		plan:    p,
		results: make(map[cell]loadResult),
		details: make(map[string]string),
		absent:  make(map[string]bool),
	}
}

// failed tells whether the implementation has failed in this shape, or altogether.
func (r *report) failed(impl string, s shape) bool {
	return slices.ContainsFunc(r.failures, func(f failure) bool {
		return f.Impl == impl && (f.Shape == nil || *f.Shape == s)
	})
}

// row is one line of the table: the medians of an implementation in one shape.
type row struct {
	Impl           string
	Rounds         int // how many were measured
	Rate           float64
	P50, P99, P999 float64 // µs
	CPU            float64 // ns per message
	Ratio          float64 // to the floor's CPU, in the same round; 0: unknown
	ClientShare    float64
	Failed         bool
}

// floorName is the implementation that the others are compared with.
const floorName = "bare-epoll"

// row works out the medians over the rounds. The ratio is the median of the rounds' ratios, not the ratio of medians:
// within one round, the floor met the same machine.
func (r *report) row(impl string, s shape) row {
	var rate, p50, p99, p999, cpu, ratio, client []float64
	for round := range r.Rounds {
		m, ok := r.results[cell{impl, s, round}]
		if !ok {
			continue
		}
		rate = append(rate, m.rate())
		p50 = append(p50, microseconds(m.P50))
		p99 = append(p99, microseconds(m.P99))
		p999 = append(p999, microseconds(m.P999))
		cpu = append(cpu, m.cpuPerMessage())
		client = append(client, m.clientShare())
		if floor, ok := r.results[cell{floorName, s, round}]; ok && floor.ServerCPU > 0 {
			ratio = append(ratio, m.cpuPerMessage()/floor.cpuPerMessage())
		}
	}
	return row{
		Impl: impl, Rounds: len(rate), Failed: r.failed(impl, s),
		Rate: median(rate), P50: median(p50), P99: median(p99), P999: median(p999),
		CPU: median(cpu), Ratio: median(ratio), ClientShare: median(client),
	}
}

// disturbed counts the measurements that others on the machine disturbed.
func (r *report) disturbed() int {
	n := 0
	for _, m := range r.results {
		if m.disturbed() {
			n++
		}
	}
	return n
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// median is the middle value, or the mean of the two in the middle; 0 of none. It sorts v.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
