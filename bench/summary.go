package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// floorImpl is the implementation that the others are compared with, and otherImpl the one where the floor cannot serve.
const (
	floorImpl = "bare-epoll"
	otherImpl = "net"
)

// Kinds of load that are shown in a way of their own.
const (
	idleLoad   = "idle"
	streamLoad = "stream"
)

// summary is one implementation under one workload: every number over the rounds.
type summary struct {
	Impl     string
	Workload workload
	Rounds   int // that were measured

	Rate       spread // messages per second
	Bandwidth  spread // bytes per second, one way
	CPU        spread // the server's, nanoseconds per message
	Ratio      spread // CPU to that of the section's base, each in its own round
	P50, P99   spread // nanoseconds
	P999       spread
	LoadCPU    spread  // share of one CPU that the load generator used
	Calls      spread  // system calls per message
	Mallocs    spread  // heap objects per message
	Resident   spread  // bytes of the server
	PerConn    spread  // bytes that a connection adds
	Late       float64 // share of the messages that were due, and were not answered, in all rounds
	Latencies  *hdrhistogram.Histogram
	Rounded    []float64 // CPU per message, by round; what was not measured is left out
	Disturbed  int       // rounds in which others took CPU time that the measurement wanted
	Unreadable error     // of the latencies
}

// section is everything that was measured under one workload. In an open loop it is one for all rates.
type section struct {
	Workload workload  // Rate is 0 where there are many
	Base     string    // whose CPU is the ratio's 1.00
	Open     bool      // rows are ordered by implementation, and then by rate
	Rows     []summary // in the order of the servers
}

// summarise arranges the results: sections in the order in which they were measured, in each the servers in the order of
// the tables.
func summarise(r *results) []section {
	var sections []section
	groups := make(map[string]map[workload][]sample)
	for _, s := range r.Samples {
		load, open := s.Workload, s.Workload.Rate > 0
		load.Rate = 0
		if !slices.ContainsFunc(sections, func(o section) bool { return o.Workload == load && o.Open == open }) {
			sections = append(sections, section{Workload: load, Open: open})
		}
		if groups[s.Impl] == nil {
			groups[s.Impl] = make(map[workload][]sample)
		}
		groups[s.Impl][s.Workload] = append(groups[s.Impl][s.Workload], s)
	}
	for i := range sections {
		sec := &sections[i]
		sec.Base = floorImpl
		if len(loadsOf(groups[floorImpl], *sec)) == 0 {
			sec.Base = otherImpl
		}
		for _, impl := range implOrder(r) {
			for _, load := range loadsOf(groups[impl], *sec) {
				sec.Rows = append(sec.Rows, summariseOne(groups[impl][load], groups[sec.Base][load]))
			}
		}
	}
	return sections
}

// implOrder lists the servers as the results do, and behind them those that only samples name.
func implOrder(r *results) []string {
	var order []string
	for _, s := range r.Servers {
		order = append(order, s.Impl)
	}
	for _, s := range r.Samples {
		if !slices.Contains(order, s.Impl) {
			order = append(order, s.Impl)
		}
	}
	return order
}

// loadsOf lists the workloads that belong to the section, by rate.
func loadsOf(group map[workload][]sample, sec section) []workload {
	var loads []workload
	for load := range group {
		rate := load.Rate
		load.Rate = 0
		if load == sec.Workload && rate > 0 == sec.Open {
			load.Rate = rate
			loads = append(loads, load)
		}
	}
	slices.SortFunc(loads, func(a, b workload) int { return cmp.Compare(a.Rate, b.Rate) })
	return loads
}

// summariseOne works out the numbers of samples that differ in nothing but the round.
func summariseOne(samples, base []sample) summary {
	sum := summary{Impl: samples[0].Impl, Workload: samples[0].Workload, Rounds: len(samples)}
	var late, due int64
	columns := make(map[*spread][]float64)
	add := func(to *spread, value float64) { columns[to] = append(columns[to], value) }
	for _, s := range samples {
		add(&sum.Rate, s.rate())
		add(&sum.Bandwidth, s.bandwidth())
		add(&sum.CPU, s.cpuPerMessage())
		add(&sum.Ratio, s.ratioTo(base))
		add(&sum.LoadCPU, share(s.ClientCPU, s.Window))
		add(&sum.Calls, perMessage(s.Syscalls, s))
		add(&sum.Mallocs, perMessage(s.Mallocs, s))
		add(&sum.Resident, float64(s.Resident))
		add(&sum.PerConn, s.PerConn)
		late, due = late+s.Late, due+s.Late+s.Messages
		if s.disturbed() {
			sum.Disturbed++
		}
		if cpu := s.cpuPerMessage(); cpu > 0 {
			sum.Rounded = append(sum.Rounded, cpu)
		}
		h, err := s.latencies()
		if err != nil {
			sum.Unreadable = err
		}
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		add(&sum.P50, float64(h.ValueAtPercentile(50)))
		add(&sum.P99, float64(h.ValueAtPercentile(99)))
		add(&sum.P999, float64(h.ValueAtPercentile(99.9)))
		if sum.Latencies == nil {
			sum.Latencies = h
		} else {
			sum.Latencies.Merge(h)
		}
	}
	for to, values := range columns {
		*to = spreadOf(values)
	}
	if due > 0 {
		sum.Late = float64(late) / float64(due)
	}
	return sum
}

// rate is messages per second.
func (s sample) rate() float64 {
	if s.Window <= 0 {
		return 0
	}
	return float64(s.Messages) / s.Window.Seconds()
}

func (s sample) bandwidth() float64 {
	if s.Window <= 0 {
		return 0
	}
	return float64(s.Bytes) / s.Window.Seconds()
}

// cpuPerMessage is the server's CPU time per message, in nanoseconds; 0 if it is not known.
func (s sample) cpuPerMessage() float64 { return perMessage(int64(s.ServerCPU), s) }

func perMessage(n int64, s sample) float64 {
	if s.Messages == 0 {
		return 0
	}
	return float64(n) / float64(s.Messages)
}

// ratioTo is the CPU time per message as a multiple of that of base in the same round, in which both met the same machine.
func (s sample) ratioTo(base []sample) float64 {
	i := slices.IndexFunc(base, func(f sample) bool { return f.Round == s.Round })
	if i < 0 || base[i].cpuPerMessage() == 0 {
		return 0
	}
	return s.cpuPerMessage() / base[i].cpuPerMessage()
}

// disturbed tells that others on the machine took so much CPU time that the rate and the latencies show them, too.
func (s sample) disturbed() bool {
	const part = 10
	return s.Window > 0 && max(s.ServerWait, s.ClientWait) > s.Window/part
}

func share(of, all time.Duration) float64 {
	if all <= 0 {
		return 0
	}
	return float64(of) / float64(all)
}

// workloadTitle says in words what is asked of a server.
func workloadTitle(w workload) string {
	text := fmt.Sprintf("%s, %d connection%s", w.Kind, w.Conns, plural(w.Conns))
	if w.Size > 0 {
		text += " × " + sizeTitle(w.Size)
	}
	if w.Depth > 1 {
		text += fmt.Sprintf(", %d in flight", w.Depth)
	}
	if w.Rate > 0 {
		text += fmt.Sprintf(", %s/s offered", grouped(float64(w.Rate)))
	}
	return text
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func sizeTitle(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// grouped is a whole number with its thousands apart.
func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
