package compare

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// microsecondOnce is so under one workload only.
func microsecondOnce(impl string, w workload.Workload) int {
	if w != benchtest.ClosedLoads[0] {
		return 0
	}
	return benchtest.Microsecond(impl, w)
}

// verdicts counts what compare says over many pairs of runs. The second of a pair is made on a machine that has become
// slower by a fifth.
func verdicts(t *testing.T, y benchtest.Synthetic, extra func(string, workload.Workload) int) map[string]int {
	t.Helper()
	y.Impls = []string{results.Floor, "tandem-epoll", "tandem-uring"}
	y.Workloads = []workload.Workload{benchtest.ClosedLoads[0], benchtest.ClosedLoads[1], benchtest.ClosedLoads[3]}
	said := make(map[string]int)
	for seed := range uint64(chanceTries) {
		y.Seed, y.Machine, y.Extra = 2*seed, 0, nil
		before := y.Run()
		y.Seed, y.Machine, y.Extra = 2*seed+1, 0.2, extra
		c := compareBy(measures()[0], pairings(before, y.Run()), y.Rounds, y.Rounds)
		said[Verdict([]Comparison{c})]++
	}
	return said
}

const chanceTries = 50

func TestEqualRunsShowNoDifference(t *testing.T) {
	for name, y := range benchtest.Weather {
		for _, y.Rounds = range []int{4, 5} {
			said := verdicts(t, y, nil)
			t.Logf("%s, %d rounds: %v", name, y.Rounds, said)
			assert.LessOrEqual(t, chanceTries-said[noDifference], chanceTries/20, "false alarms: %s, %d rounds", name, y.Rounds)
		}
	}
}

func TestAMicrosecondPerMessageIsSlower(t *testing.T) {
	least := map[string][2]int{"calm": {100, 100}, "drift": {100, 100}, "outliers": {80, 94}, "noise": {80, 94}}
	for name, y := range benchtest.Weather {
		for i, rounds := range []int{5, 8} {
			y.Rounds = rounds
			said := verdicts(t, y, benchtest.Microsecond)
			t.Logf("%s, %d rounds: %v", name, y.Rounds, said)
			assert.GreaterOrEqual(t, said[Slower], least[name][i]*chanceTries/100, "found: %s, %d rounds", name, y.Rounds)
		}
	}
}

func TestAMicrosecondUnderOneWorkloadIsSlower(t *testing.T) {
	for name, least := range map[string]int{"calm": 99, "drift": 99, "outliers": 75} {
		y := benchtest.Weather[name]
		y.Rounds = 7
		said := verdicts(t, y, microsecondOnce)
		t.Logf("%s: %v", name, said)
		assert.GreaterOrEqual(t, said[Slower], least*chanceTries/100, "found: %s", name)
	}
}
