package results

import (
	"math"
	"slices"

	"github.com/tandem-io/tandem/bench/format"
)

func MedianText(s Spread, text func(float64) string) string {
	if !s.Known() {
		return format.Unknown
	}
	return text(s.Median)
}

// Spread is what the rounds say about one number. The zero value: it was not measured.
type Spread struct {
	N                 int // rounds in which it was measured
	Median, Low, High float64
}

// SpreadOf takes the values of the rounds, 0 being one that was not measured.
func SpreadOf(values []float64) Spread {
	v := slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return x == 0 || math.IsNaN(x) })
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	return Spread{N: len(v), Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Low: v[0], High: v[len(v)-1]}
}

// Known tells whether it was measured.
func (s Spread) Known() bool { return s.N > 0 }

// PlusMinus is how far the rounds are from the median, at most, as a share of it.
func (s Spread) PlusMinus() float64 {
	if s.Median == 0 {
		return 0
	}
	return max(s.High-s.Median, s.Median-s.Low) / s.Median
}
