package results

import (
	"cmp"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/tandem-io/tandem/bench/workload"
)

// Title is the section's heading.
func (s Section) Title() string {
	if s.Open {
		return s.Workload.String() + ", at a rate"
	}
	return s.Workload.String()
}

// Floor is the implementation that the others are compared with. otherImpl takes its place where the floor cannot
// serve.
const (
	Floor     = "bare-epoll"
	otherImpl = "net"
)

// Summary is one implementation under one workload: every number over the rounds.
type Summary struct {
	Impl     string
	Workload workload.Workload
	Rounds   int // that were measured

	Rate       Spread // messages per second
	Bandwidth  Spread // bytes per second, one way
	CPU        Spread // the server's, nanoseconds per message
	Ratio      Spread // CPU to that of the section's base, each in its own round
	P50, P99   Spread // nanoseconds
	P999       Spread
	LoadCPU    Spread  // share of one CPU that the load generator used
	Calls      Spread  // system calls per message
	Mallocs    Spread  // heap objects per message
	Resident   Spread  // bytes of the server
	PerConn    Spread  // bytes that a connection adds
	Late       float64 // share of the messages that were due, and were not answered, in all rounds
	Latencies  *hdrhistogram.Histogram
	Rounded    []float64 // CPU per message, by round, without those that were not measured
	Disturbed  int       // rounds in which others took CPU time that the measurement wanted
	Unreadable error     // of the latencies
}

// Section is everything that was measured under one workload. In an open loop it is one for all rates.
type Section struct {
	Workload workload.Workload // Rate is 0 where there are many
	Base     string            // whose CPU is the ratio's 1.00
	Open     bool              // rows are ordered by implementation, and then by rate
	Rows     []Summary         // in the order of the servers
}

// Summarise groups the results: sections in the order in which they were measured, and in each the servers in the order
// of the tables.
func Summarise(r *Results) []Section {
	var sections []Section
	groups := make(map[string]map[workload.Workload][]Sample)
	for _, s := range r.Samples {
		load, open := s.Workload, s.Workload.Rate > 0
		load.Rate = 0
		if !slices.ContainsFunc(sections, func(o Section) bool { return o.Workload == load && o.Open == open }) {
			sections = append(sections, Section{Workload: load, Open: open})
		}
		if groups[s.Impl] == nil {
			groups[s.Impl] = make(map[workload.Workload][]Sample)
		}
		groups[s.Impl][s.Workload] = append(groups[s.Impl][s.Workload], s)
	}
	for i := range sections {
		sec := &sections[i]
		sec.Base = Floor
		if len(loadsOf(groups[Floor], *sec)) == 0 {
			sec.Base = otherImpl
		}
		for _, impl := range ServerOrder(r) {
			for _, load := range loadsOf(groups[impl], *sec) {
				sec.Rows = append(sec.Rows, summariseOne(groups[impl][load], groups[sec.Base][load]))
			}
		}
	}
	return sections
}

// ServerOrder lists the servers in the order of the results, followed by those that only samples name.
func ServerOrder(r *Results) []string {
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
func loadsOf(group map[workload.Workload][]Sample, sec Section) []workload.Workload {
	var loads []workload.Workload
	for load := range group {
		rate := load.Rate
		load.Rate = 0
		if load == sec.Workload && rate > 0 == sec.Open {
			load.Rate = rate
			loads = append(loads, load)
		}
	}
	slices.SortFunc(loads, func(a, b workload.Workload) int { return cmp.Compare(a.Rate, b.Rate) })
	return loads
}

// summariseOne summarises samples that differ only in the round.
func summariseOne(samples, base []Sample) Summary {
	sum := Summary{Impl: samples[0].Impl, Workload: samples[0].Workload, Rounds: len(samples)}
	var late, due int64
	columns := make(map[*Spread][]float64)
	add := func(to *Spread, value float64) { columns[to] = append(columns[to], value) }
	for _, s := range samples {
		add(&sum.Rate, s.Rate())
		add(&sum.Bandwidth, s.Bandwidth())
		add(&sum.CPU, s.CPUPerMessage())
		add(&sum.Ratio, s.ratioTo(base))
		add(&sum.LoadCPU, share(s.ClientCPU, s.Window))
		add(&sum.Calls, PerMessage(s.Syscalls, s))
		add(&sum.Mallocs, PerMessage(s.Mallocs, s))
		add(&sum.Resident, float64(s.Resident))
		add(&sum.PerConn, s.PerConn)
		late, due = late+s.Late, due+s.Late+s.Messages
		if s.Disturbed() {
			sum.Disturbed++
		}
		if cpu := s.CPUPerMessage(); cpu > 0 {
			sum.Rounded = append(sum.Rounded, cpu)
		}
		h, err := s.Latencies()
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
		*to = SpreadOf(values)
	}
	if due > 0 {
		sum.Late = float64(late) / float64(due)
	}
	return sum
}
