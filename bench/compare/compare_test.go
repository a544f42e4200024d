package compare

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func compareText(t *testing.T, before, after *results.Results) (string, []Comparison) {
	t.Helper()
	all, err := Runs(before, after, LeastCPU)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, Print(&b, before, after, all))
	return b.String(), all
}

func TestPrintComparison(t *testing.T) {
	after := benchtest.CalmRun(2, benchtest.Microsecond)
	after.Machine.Kernel = "Linux 6.19.0"
	after.Failures = []string{"net, echo: wrong byte"}
	after.Samples = append(after.Samples, results.Sample{Impl: "gnet", Workload: benchtest.ClosedLoads[0], Messages: 1, Window: 1, ServerCPU: 1})
	text, _ := compareText(t, benchtest.CalmRun(1, nil), after)
	benchtest.Golden(t, "compare.txt", text)
}

func TestCompareFindsBothDirections(t *testing.T) {
	quick, slow := benchtest.CalmRun(1, nil), benchtest.CalmRun(2, benchtest.Microsecond)
	_, all := compareText(t, quick, slow)
	assert.Equal(t, Slower, Verdict(all))
	text, all := compareText(t, slow, quick)
	assert.Equal(t, faster, Verdict(all), "the other way round")
	assert.Contains(t, text, "\nverdict: faster in 3 of 6 comparisons")
	for _, c := range all {
		for _, f := range c.Findings {
			if c.Measure.Decides {
				assert.Equal(t, f.Impl != "net", f.Says != noDifference, "%s, %v: %s", f.Impl, f.Workload, f.Says)
			}
			if c.Measure.Name == "bytes/conn" {
				assert.Equal(t, noDifference, f.Says, "memory of %s", f.Impl)
			}
		}
	}
}

func TestOneFileComparedWithItself(t *testing.T) {
	r := benchtest.ExampleResults(t)
	text, all := compareText(t, r, r)
	assert.Equal(t, noDifference, Verdict(all))
	for _, c := range all {
		for _, f := range c.Findings {
			assert.InDelta(t, 1, f.Change.Ratio, 0.01, "%s of %s", c.Measure.Name, f.Impl)
		}
	}
	assert.Regexp(t, `no difference in 128 comparisons of CPU per message\n$`, text)
}

// slowMachine is two runs of the same servers, the second on a machine that is slower by three tenths.
func slowMachine(impls ...string) (before, after *results.Results) {
	y := benchtest.Synthetic{Seed: 1, Impls: impls, Workloads: benchtest.ClosedLoads[:2], Rounds: 6, Noise: 0.01}
	before = y.Run()
	y.Seed, y.Machine = 2, 0.3
	return before, y.Run()
}

func TestWithoutAFloorTheMachineShows(t *testing.T) {
	before, after := slowMachine("tandem-epoll", "net")
	text, all := compareText(t, before, after)
	assert.Equal(t, Slower, Verdict(all))
	assert.Contains(t, text, "not both runs have bare-epoll")
}

func TestADifferentMachineIsTold(t *testing.T) {
	before, after := slowMachine(results.Floor, "net")
	text, all := compareText(t, before, after)
	assert.Equal(t, noDifference, Verdict(all))
	assert.Contains(t, text, "the machine was not the same: bare-epoll itself changed by 1.3")
}

func TestCompareRefuses(t *testing.T) {
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net"}, Workloads: benchtest.ClosedLoads[:1], Rounds: 5}
	whole := y.Run()
	few := y
	few.Rounds = 3
	other := y
	other.Workloads = benchtest.ClosedLoads[1:2]
	onlyFloor := y
	onlyFloor.Impls = y.Impls[:1]
	for want, pair := range map[string][2]*results.Results{
		"3 and 3 rounds are too few":        {few.Run(), few.Run()},
		"no server under an equal":          {whole, other.Run()},
		"no CPU time per message in common": {onlyFloor.Run(), whole},
	} {
		_, err := Runs(pair[0], pair[1], LeastCPU)
		assert.ErrorContains(t, err, want)
	}
}

// TestWhereTheFloorCannotServeTheMachineStillCancels has a workload without a floor, on a machine that became slower.
func TestWhereTheFloorCannotServeTheMachineStillCancels(t *testing.T) {
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net"}, Workloads: benchtest.ClosedLoads[:3], Rounds: 6, Noise: 0.01, Drift: 0.2}
	without := func(r *results.Results) *results.Results {
		r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool {
			return s.Impl == results.Floor && s.Workload == benchtest.ClosedLoads[2]
		})
		return r
	}
	before := without(y.Run())
	y.Seed, y.Machine = 2, 0.3
	text, all := compareText(t, before, without(y.Run()))
	assert.Equal(t, noDifference, Verdict(all), text)
	y.Extra = func(impl string, w workload.Workload) int {
		return map[bool]int{true: 100}[impl == "net" && w == benchtest.ClosedLoads[2]]
	}
	text, all = compareText(t, before, without(y.Run()))
	assert.Equal(t, Slower, Verdict(all), text)
}

func TestRoundsThatDifferMuchAreTold(t *testing.T) {
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net"}, Workloads: benchtest.ClosedLoads[:3], Rounds: 5, Noise: 0.15}
	before := y.Run()
	y.Seed = 2
	const want = "the rounds differ a lot from each other"
	text, _ := compareText(t, before, y.Run())
	assert.Contains(t, text, want)
	text, _ = compareText(t, benchtest.CalmRun(1, nil), benchtest.CalmRun(2, nil))
	assert.NotContains(t, text, want, "of calm runs")
}
