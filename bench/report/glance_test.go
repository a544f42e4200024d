package report

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
)

func TestAWinnerIsMarkedOnlyBeyondTheSpread(t *testing.T) {
	line := func(rounds int, ratios map[string][2]float64) []string {
		impls := []string{"bare-uring", "net", "gnet", "evio"}
		var sec results.Section
		for _, impl := range impls {
			if r, ok := ratios[impl]; ok {
				s := results.Spread{N: rounds, Low: r[0], Median: (r[0] + r[1]) / 2, High: r[1]}
				sec.Rows = append(sec.Rows, results.Summary{Impl: impl, Ratio: s})
			}
		}
		var best []string
		for i, c := range glanceLineOf(sec, impls).Cells {
			if c.Best {
				best = append(best, impls[i])
			}
		}
		return best
	}
	for name, c := range map[string]struct {
		rounds int
		ratios map[string][2]float64
		want   []string
	}{
		"clearly below":              {5, map[string][2]float64{"net": {1.3, 1.4}, "gnet": {1.0, 1.1}, "evio": {1.5, 1.6}}, []string{"gnet"}},
		"below, within the spread":   {5, map[string][2]float64{"net": {1.09, 1.4}, "gnet": {1.0, 1.1}, "evio": {1.5, 1.6}}, nil},
		"touching":                   {5, map[string][2]float64{"net": {1.1, 1.4}, "gnet": {1.0, 1.1}}, nil},
		"too few rounds to know":     {2, map[string][2]float64{"net": {1.3, 1.4}, "gnet": {1.0, 1.1}}, nil},
		"alone":                      {5, map[string][2]float64{"net": {1.3, 1.4}}, nil},
		"alone with a floor":         {5, map[string][2]float64{"bare-uring": {2, 2}, "net": {1.3, 1.4}}, nil},
		"above a floor, below all":   {5, map[string][2]float64{"bare-uring": {0.9, 0.9}, "net": {1.3, 1.4}, "gnet": {1, 1}}, []string{"gnet"}},
		"three, the last one blurry": {5, map[string][2]float64{"net": {1.3, 1.4}, "gnet": {1.0, 1.1}, "evio": {1.0, 9}}, nil},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, line(c.rounds, c.ratios)) })
	}
}

// TestTheLegendIsThatOfTheMarks also shows that the marks reach the page.
func TestTheLegendIsThatOfTheMarks(t *testing.T) {
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net", "gnet"}, Workloads: benchtest.ClosedLoads[:1], Rounds: 5}
	for name, c := range map[string]struct {
		noise float64
		marks bool
	}{"quiet": {0.001, true}, "noisy": {0.2, false}} {
		t.Run(name, func(t *testing.T) {
			y.Noise = c.noise
			page, err := HTML(y.Run(), nil)
			require.NoError(t, err)
			if c.marks {
				assert.Contains(t, string(page), `<td class="best">`)
				assert.Contains(t, string(page), "Bold: lower than every other server")
			} else {
				assert.NotContains(t, string(page), `<td class="best">`)
				assert.Contains(t, string(page), "No server is marked")
			}
		})
	}
}

func TestWhereTheFloorCannotServeNetIsOne(t *testing.T) {
	y := benchtest.Synthetic{Seed: 1, Impls: []string{"net", "gnet"}, Workloads: benchtest.ClosedLoads[:1], Rounds: 3}
	r := y.Run()
	sections := results.Summarise(r)
	assert.Equal(t, results.Spread{N: 3, Median: 1, Low: 1, High: 1}, sections[0].Rows[0].Ratio, "net to itself")
	assert.Equal(t, "echo, 64 connections × 64 B (net is 1.00)", atAGlance(r, sections).Lines[0].Title)
}
