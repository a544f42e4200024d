package main

import (
	"math"
	"slices"
)

// spread is what the rounds say about one number. The zero value: it was not measured.
type spread struct {
	N                 int // rounds in which it was measured
	Median, Low, High float64
}

// spreadOf takes the values of the rounds, 0 being one that was not measured.
func spreadOf(values []float64) spread {
	v := slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return x == 0 || math.IsNaN(x) })
	if len(v) == 0 {
		return spread{}
	}
	slices.Sort(v)
	return spread{N: len(v), Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Low: v[0], High: v[len(v)-1]}
}

// known tells whether it was measured.
func (s spread) known() bool { return s.N > 0 }

// plusMinus is how far the rounds are from the median, at most, as a share of it.
func (s spread) plusMinus() float64 {
	if s.Median == 0 {
		return 0
	}
	return max(s.High-s.Median, s.Median-s.Low) / s.Median
}
