package compare

import (
	"math"
	"slices"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// measure is a number by which two runs are compared.
type measure struct {
	Name    string
	Of      func(results.Sample) float64 // 0: not measured
	More    string                       // the verdict on a server whose number grew
	Less    string                       // or shrank
	Least   float64                      // smaller relative changes do not count
	ToFloor bool                         // compare ratios to the floor of the same round, so that a drift of the machine cancels out
	Decides bool                         // the verdict is about this one
	Text    func(float64) string
}

// The verdicts.
const (
	Slower       = "slower"
	faster       = "faster"
	noDifference = "no difference"
)

// LeastCPU is the change of CPU per message that matters, unless the user says otherwise: more than the same program
// differs by from one start to the next.
const LeastCPU = 0.05

// measures are the numbers by which runs are compared. Those that other load on the machine disturbs more have a higher
// Least.
func measures() []measure {
	return []measure{
		{"CPU ns/msg", results.Sample.CPUPerMessage, Slower, faster, LeastCPU, true, true, format.Grouped},
		{"msg/s", closedRate, faster, Slower, 0.10, true, false, format.Grouped},
		{"p50 µs", percentileOf(50), Slower, faster, 0.10, true, false, format.Micros},
		{"p99 µs", percentileOf(99), Slower, faster, 0.25, true, false, format.Micros},
		{"bytes/conn", func(s results.Sample) float64 { return s.PerConn }, "larger", "smaller", 0.05, false, false, format.Grouped},
	}
}

// closedRate is the rate, which only a closed loop leaves to the server.
func closedRate(s results.Sample) float64 {
	if s.Workload.Rate > 0 {
		return 0
	}
	return s.Rate()
}

func percentileOf(p float64) func(results.Sample) float64 {
	return func(s results.Sample) float64 {
		h, err := s.Latencies()
		if err != nil || h == nil {
			return 0
		}
		return float64(h.ValueAtPercentile(p))
	}
}

// finding is the result of comparing one server by one measure, under one workload or under all.
type finding struct {
	Impl     string
	Workload *workload.Workload // nil: all that it was measured under, together
	Old, New results.Spread
	Change   change
	Chance   float64 // probability that chance alone makes some difference look as large
	Says     string  // noDifference, or the measure's More or Less
}

// Comparison has all findings of one measure.
type Comparison struct {
	Measure  measure
	ToFloor  bool // ratios to the floor were compared
	Floor    []finding
	Findings []finding
}

// pairing is one server under one workload in both runs.
type pairing struct {
	impl string
	load workload.Workload
	old  []results.Sample
	new  []results.Sample
}

// pairings lists everything that both runs measured, in the order of the new one.
func pairings(before, after *results.Results) []pairing {
	var pairs []pairing
	for _, s := range after.Samples {
		if i := slices.IndexFunc(pairs, func(p pairing) bool { return p.impl == s.Impl && p.load == s.Workload }); i >= 0 {
			pairs[i].new = append(pairs[i].new, s)
			continue
		}
		p := pairing{impl: s.Impl, load: s.Workload, new: []results.Sample{s}}
		for _, o := range before.Samples {
			if o.Impl == p.impl && o.Workload == p.load {
				p.old = append(p.old, o)
			}
		}
		if len(p.old) > 0 {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// roundsOf is one more than the highest round of the samples: rounds that failed leave a gap.
func roundsOf(r *results.Results) int {
	n := 0
	for _, s := range r.Samples {
		n = max(n, s.Round+1)
	}
	return n
}

// compareBy compares all pairs by one measure.
func compareBy(m measure, pairs []pairing, before, after int) Comparison {
	hasFloor := slices.ContainsFunc(pairs, func(p pairing) bool {
		return p.impl == results.Floor && p.series(m.Of, before, after).inBoth(before)
	})
	c := Comparison{Measure: m, ToFloor: m.ToFloor && hasFloor}
	var (
		all      []series
		together = make(map[string][]series)
	)
	for _, p := range pairs {
		raw := p.series(m.Of, before, after)
		if !raw.inBoth(before) {
			continue
		}
		f := finding{
			Impl: p.impl, Workload: &p.load, Change: changeOf(raw, before), Says: noDifference,
			Old: results.SpreadOf(valuesOf(p.old, m.Of)), New: results.SpreadOf(valuesOf(p.new, m.Of)),
		}
		if c.ToFloor {
			if p.impl == results.Floor { // the reference; it shows how the machine changed
				c.Floor = append(c.Floor, f)
				continue
			}
			raw = raw.minus(floorSeries(pairs, p.load, m.Of, before, after))
			if !raw.inBoth(before) { // the floor was measured in other rounds only
				continue
			}
			f.Change = changeOf(raw, before)
		}
		all = append(all, raw)
		c.Findings = append(c.Findings, f)
		together[p.impl] = append(together[p.impl], raw)
	}
	for _, impl := range implsOf(c.Findings) {
		if len(together[impl]) > 1 {
			mean := meanOf(together[impl])
			all = append(all, mean)
			c.Findings = append(c.Findings, finding{Impl: impl, Change: changeOf(mean, before), Says: noDifference})
		}
	}
	c.judge(all, deals(before, after))
	return c
}

// judge decides for every finding whether it is a difference.
func (c *Comparison) judge(all []series, d []deal) {
	least := math.Log1p(c.Measure.Least)
	grew := exceeds(all, least, d)
	negative := make([]series, len(all))
	for i, s := range all {
		negative[i] = s.negative()
	}
	shrank := exceeds(negative, least, d)
	for i := range c.Findings {
		f := &c.Findings[i]
		f.Chance = min(grew[i], shrank[i])
		switch {
		case grew[i] <= falseAlarms:
			f.Says = c.Measure.More
		case shrank[i] <= falseAlarms:
			f.Says = c.Measure.Less
		}
	}
}

// series takes the logarithm of each round's number, the old rounds first.
func (p pairing) series(of func(results.Sample) float64, before, after int) series {
	s := make(series, before+after)
	for i := range s {
		s[i] = math.NaN()
	}
	fill := func(from int, samples []results.Sample) {
		for _, one := range samples {
			if v := of(one); v > 0 {
				s[from+one.Round] = math.Log(v)
			}
		}
	}
	fill(0, p.old)
	fill(before, p.new)
	return s
}

// floorSeries is the series of the floor under the same workload. For a workload that the floor cannot serve, it is the
// mean of the floor under all others: the machine was the same in that round, and only that matters.
func floorSeries(pairs []pairing, load workload.Workload, of func(results.Sample) float64, before, after int) series {
	var others []series
	for _, p := range pairs {
		if p.impl != results.Floor {
			continue
		}
		s := p.series(of, before, after)
		if p.load == load {
			return s
		}
		others = append(others, s)
	}
	return meanOf(others)
}

// minus is the logarithm of the ratio.
func (s series) minus(floor series) series {
	v := slices.Clone(s)
	for i := range v {
		v[i] -= floor[i]
	}
	return v
}

func (s series) negative() series {
	v := slices.Clone(s)
	for i := range v {
		v[i] = -v[i]
	}
	return v
}

// meanOf combines the workloads of a server: how far each round was from the median, with outliers clipped. The result
// does not depend on which run a round belongs to, as deal requires.
func meanOf(all []series) series {
	mean := make(series, len(all[0]))
	count := make([]float64, len(mean))
	for _, s := range all {
		middle := middleOf(s)
		for i, x := range s.clipped() {
			if !math.IsNaN(x) {
				mean[i] += x - middle
				count[i]++
			}
		}
	}
	for i := range mean {
		mean[i] /= count[i] // NaN if nothing was measured
	}
	return mean
}

func valuesOf(samples []results.Sample, of func(results.Sample) float64) []float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	return values
}

func implsOf(findings []finding) []string {
	var impls []string
	for _, f := range findings {
		if !slices.Contains(impls, f.Impl) {
			impls = append(impls, f.Impl)
		}
	}
	return impls
}
