package compare

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Whether two runs differ is decided by a permutation test. If nothing has changed, it does not matter which round came
// from which run: so the rounds of both are dealt into two hands in every possible way, and the largest difference of
// all series is noted each time. A series differs if chance rarely (falseAlarms) deals such a large difference in any
// of the series. This is the max-statistic procedure of Westfall and Young: an exact permutation test like the rank
// test of Mann and Whitney, and for the same reason valid for few rounds and any distribution. Unlike the rank test it
// keeps its power when there are many series: with five rounds on each side a rank test cannot give less than 1 in 252,
// and no correction for more than twelve comparisons leaves that below 5 %. Series that were disturbed together,
// because they were measured in the same round, are dealt together.
const (
	falseAlarms = 0.05 // of all comparisons together, in one direction
	fewestDeals = 70   // as four rounds on each side give
	mostDeals   = 4000 // if there are more ways, this many are drawn at random
)

// series is one number in all rounds of both runs, as a logarithm: those of the old run first. NaN: not measured.
type series []float64

// deal says for every round of both runs whether it goes into the hand of the new run.
type deal []bool

// deals lists every way to deal, or mostDeals of them. The first is the actual one.
func deals(before, after int) []deal {
	actual := make(deal, before+after)
	for i := before; i < len(actual); i++ {
		actual[i] = true
	}
	if ways(before+after, after) > mostDeals {
		return drawn(actual)
	}
	all := []deal{actual}
	var extend func(d deal, at, left int)
	extend = func(d deal, at, left int) {
		if at == len(d) {
			if left == 0 && !slices.Equal(d, actual) {
				all = append(all, slices.Clone(d))
			}
			return
		}
		if left > 0 {
			d[at] = true
			extend(d, at+1, left-1)
			d[at] = false
		}
		if len(d)-at > left {
			extend(d, at+1, left)
		}
	}
	extend(make(deal, len(actual)), 0, after)
	return all
}

// drawn shuffles instead, with a fixed seed: the same files always give the same answer.
func drawn(actual deal) []deal {
	rng := rand.New(rand.NewPCG(1, 2))
	all := []deal{actual}
	for len(all) < mostDeals {
		d := slices.Clone(actual)
		rng.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
		all = append(all, d)
	}
	return all
}

// ways is the number of ways to choose k of n things. It stops counting a little above mostDeals.
func ways(n, k int) int {
	c := 1
	for i := 1; i <= k; i++ {
		c = c * (n - k + i) / i
		if c > mostDeals {
			return c
		}
	}
	return c
}

// exceeds returns for each series the probability that dealing alone makes some series look as if it had grown as much
// as this one, if no series grew by more than least, which is the logarithm of a ratio and above 0. Negate the series
// to ask about shrinking.
func exceeds(all []series, least float64, deals []deal) []float64 {
	before := slices.Index(deals[0], true)
	shifted := make([]series, len(all))
	for i, s := range all {
		shifted[i] = s.shifted(before, least).clipped()
	}
	counts := make([]int, len(all))
	actual := make([]float64, len(all))
	for n, d := range deals {
		largest := math.Inf(-1)
		for i, s := range shifted {
			t := s.growth(d, least)
			largest = max(largest, t)
			if n == 0 {
				actual[i] = t
			}
		}
		for i := range counts {
			if largest >= actual[i] {
				counts[i]++
			}
		}
	}
	chances := make([]float64, len(all))
	for i, n := range counts {
		chances[i] = float64(n) / float64(len(deals))
	}
	return chances
}

// shifted subtracts the allowed change from the new rounds. What remains exceeds it.
func (s series) shifted(before int, least float64) series {
	v := slices.Clone(s)
	for i := before; i < len(v); i++ {
		v[i] -= least
	}
	return v
}

// clipped limits outliers to twice the usual distance from the median, so that one bad round does not outweigh the
// others. It treats both runs as one, so it does not depend on the deal.
func (s series) clipped() series {
	middle := middleOf(s)
	distances := make(series, len(s))
	for i, x := range s {
		distances[i] = math.Abs(x - middle)
	}
	far := 2 * middleOf(distances)
	v := slices.Clone(s)
	for i, x := range v {
		v[i] = min(max(x, middle-far), middle+far) // NaN stays
	}
	return v
}

// growth is how much larger the new hand is than the old, in units of how much the rounds of a hand differ from each
// other. Least is added to the unit, so that with very little noise a negligible difference does not look large.
func (s series) growth(d deal, least float64) float64 {
	var sum, mean, count, off [2]float64
	hand := func(i int) int {
		if d[i] {
			return 1
		}
		return 0
	}
	for i, x := range s {
		if !math.IsNaN(x) {
			sum[hand(i)] += x
			count[hand(i)]++
		}
	}
	if count[0] == 0 || count[1] == 0 {
		return math.Inf(-1)
	}
	mean[0], mean[1] = sum[0]/count[0], sum[1]/count[1]
	for i, x := range s {
		if !math.IsNaN(x) {
			off[hand(i)] += math.Abs(x - mean[hand(i)])
		}
	}
	return (mean[1] - mean[0]) / ((off[0]+off[1])/(count[0]+count[1]) + least)
}

// middleOf is the median of the rounds that were measured.
func middleOf(s series) float64 {
	v := slices.DeleteFunc(slices.Clone(s), math.IsNaN)
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
