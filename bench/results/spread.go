package results

import (
	"math"
	"slices"

	"github.com/tandem-io/tandem/bench/format"
)

// MedianText formats the median, or says that it is unknown.
func MedianText(s Spread, text func(float64) string) string {
	if !s.Known() {
		return format.Unknown
	}
	return text(s.Median)
}

// Spread summarises one number over the rounds. The zero value means that it was not measured.
type Spread struct {
	N                 int // rounds in which it was measured
	Median, Low, High float64
}

// SpreadOf summarises the values of the rounds. A 0 is one that was not measured.
func SpreadOf(values []float64) Spread {
	v := slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return x == 0 || math.IsNaN(x) })
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	return Spread{N: len(v), Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Low: v[0], High: v[len(v)-1]}
}

// Known reports whether it was measured.
func (s Spread) Known() bool { return s.N > 0 }

// PlusMinus is the largest distance of a round from the median, relative to the median.
func (s Spread) PlusMinus() float64 {
	if s.Median == 0 {
		return 0
	}
	return max(s.High-s.Median, s.Median-s.Low) / s.Median
}
