package compare

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFalseAlarmsAreNotMoreThanPromised is at the edge: every series has grown by exactly what does not yet count.
func TestFalseAlarmsAreNotMoreThanPromised(t *testing.T) {
	const tries, rounds, many, least = 400, 5, 12, 0.05
	d := deals(rounds, rounds)
	rng := rand.New(rand.NewPCG(3, 4))
	for name, draw := range map[string]func() float64{
		"normal":     func() float64 { return 0.03 * rng.NormFloat64() },
		"heavy tail": func() float64 { return 0.01 * rng.NormFloat64() / max(rng.Float64(), 0.01) },
		"one side":   func() float64 { return 0.05 * rng.ExpFloat64() },
	} {
		alarms := 0
		for range tries {
			all := make([]series, many)
			for i := range all {
				for r := range 2 * rounds {
					all[i] = append(all[i], draw()+map[bool]float64{true: least}[r >= rounds])
				}
			}
			if slices.Min(exceeds(all, least, d)) <= falseAlarms {
				alarms++
			}
		}
		t.Logf("%s: %d in %d", name, alarms, tries)
		// 5 % of 400 are 20, with a standard deviation of 4.4.
		assert.LessOrEqual(t, alarms, 33, "%s: false alarms, of which %v are expected", name, falseAlarms*tries)
		assert.GreaterOrEqual(t, alarms, 5, "%s: false alarms, of which %v are expected", name, falseAlarms*tries)
	}
}

func TestDeals(t *testing.T) {
	for _, c := range []struct{ before, after, want int }{{1, 1, 2}, {3, 3, 20}, {4, 3, 35}, {5, 5, 252}, {7, 7, 3432}, {10, 10, mostDeals}} {
		all := deals(c.before, c.after)
		assert.Len(t, all, c.want, "%d and %d rounds", c.before, c.after)
		for i, d := range all {
			taken := 0
			for _, yes := range d {
				if yes {
					taken++
				}
			}
			require.Len(t, d, c.before+c.after, "deal %d of %d and %d", i, c.before, c.after)
			require.Equal(t, c.after, taken, "deal %d of %d and %d: to the new hand", i, c.before, c.after)
		}
		assert.Equal(t, c.before, slices.Index(all[0], true), "the first deal is %v, and not how it was", all[0])
		if c.want == mostDeals {
			continue
		}
		for i, d := range all {
			require.False(t, slices.ContainsFunc(all[:i], func(o deal) bool { return slices.Equal(o, d) }), "deal %v is there twice", d)
		}
	}
}

func TestRoundsThatAreMissingAreLeftAway(t *testing.T) {
	nan := math.NaN()
	s := series{1.00, nan, 1.02, 1.01, 1.01, 2.02, 2.00, nan, 2.01, 2.02}
	assert.LessOrEqual(t, exceeds([]series{s}, 0.05, deals(5, 5))[0], falseAlarms, "chance of a difference that is there")
	assert.InDelta(t, math.E, changeOf(s, 5).Ratio, 0.05)
	empty := series{nan, nan, nan, nan, nan, nan, nan, nan, nan, nan}
	got := exceeds([]series{s, empty}, 0.05, deals(5, 5))
	assert.LessOrEqual(t, got[0], falseAlarms, "beside one of which nothing is known")
	assert.Equal(t, 1.0, got[1], "of which nothing is known")
}

// TestIntervalIsThatOfTheRankTest compares with what tables of the U distribution say: at 5 and 5, two differences are
// left away at each end for 95 %.
func TestIntervalIsThatOfTheRankTest(t *testing.T) {
	s := series{0, 0, 0, 0, 0}
	for i := range 5 {
		s[i] = float64(i) / 100
		s = append(s, 0.5+float64(i)/10)
	}
	var differences []float64
	for _, b := range s[5:] {
		for _, a := range s[:5] {
			differences = append(differences, b-a)
		}
	}
	slices.Sort(differences)
	got := changeOf(s, 5)
	want := change{math.Exp(differences[12]), math.Exp(differences[2]), math.Exp(differences[22])}
	assert.Equal(t, want, got)
	few := changeOf(series{0, 0, 0, 1, 1, 1}, 3)
	assert.Zero(t, few.Low, "three rounds each give no such interval")
	assert.Equal(t, math.Inf(1), few.High, "three rounds each give no such interval")
}
