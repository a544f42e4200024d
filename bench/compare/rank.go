package compare

import (
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// confidence is how often the intervals contain the truth, at least.
const confidence = 0.95

// change is the ratio of the new rounds to the old, with its interval. Low is 0 and High infinite if there are too few
// rounds for an interval.
type change struct{ Ratio, Low, High float64 }

// changeOf estimates the change of a series without regard to its distribution: the median of the differences between
// each new round and each old one (Hodges and Lehmann), and the interval that belongs to the rank test of Mann and Whitney.
func changeOf(s series, before int) change {
	var differences []float64
	old, new1 := measured(s[:before]), measured(s[before:])
	for _, b := range new1 {
		for _, a := range old {
			differences = append(differences, b-a)
		}
	}
	if len(differences) == 0 {
		return change{math.NaN(), 0, math.Inf(1)}
	}
	slices.Sort(differences)
	c := change{Ratio: math.Exp(middleOf(differences)), High: math.Inf(1)}
	// Drop as many differences at each end as the statistic U of the test stays below with this probability of error.
	distribution := stats.UDist{N1: len(old), N2: len(new1)}
	out := 0
	for distribution.CDF(float64(out)) <= (1-confidence)/2 {
		out++
	}
	if out > 0 {
		c.Low, c.High = math.Exp(differences[out-1]), math.Exp(differences[len(differences)-out])
	}
	return c
}

// measured drops the rounds that were not measured.
func measured(s series) series { return slices.DeleteFunc(slices.Clone(s), math.IsNaN) }

// inBoth reports whether both runs have a value.
func (s series) inBoth(before int) bool {
	return len(measured(s[:before])) > 0 && len(measured(s[before:])) > 0
}
