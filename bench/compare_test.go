package main

import (
	"slices"
	"strings"
	"testing"
)

func compareText(t *testing.T, before, after *results) (string, []comparison) {
	t.Helper()
	all, err := compareRuns(before, after, leastCPU)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := printComparison(&b, before, after, all); err != nil {
		t.Fatal(err)
	}
	return b.String(), all
}

func calmRun(seed uint64, extra func(string, workload) int) *results {
	loads := []workload{closedLoads[0], closedLoads[3], {idleLoad, 1000, 0, 0, 0}}
	return synthetic{Seed: seed, Impls: []string{floorImpl, "tandem-epoll", "net"}, Workloads: loads, Rounds: 5, Noise: 0.01,
		Latency: true, Extra: extra}.run()
}

func TestPrintComparison(t *testing.T) {
	after := calmRun(2, microsecond)
	after.Machine.Kernel = "Linux 6.19.0"
	after.Failures = []string{"net, echo: wrong byte"}
	after.Samples = append(after.Samples, sample{Impl: "gnet", Workload: closedLoads[0], Messages: 1, Window: 1, ServerCPU: 1})
	text, _ := compareText(t, calmRun(1, nil), after)
	golden(t, "compare.txt", text)
}

func TestCompareFindsBothDirections(t *testing.T) {
	quick, slow := calmRun(1, nil), calmRun(2, microsecond)
	if _, all := compareText(t, quick, slow); verdict(all) != slower {
		t.Errorf("verdict: %s", verdict(all))
	}
	text, all := compareText(t, slow, quick)
	if verdict(all) != faster || !strings.Contains(text, "\nverdict: faster in 3 of 6 comparisons") {
		t.Errorf("the other way round:\n%s", text)
	}
	for _, c := range all {
		for _, f := range c.Findings {
			if want := f.Impl != "net"; c.Measure.Decides && (f.Says != noDifference) != want {
				t.Errorf("%s, %v: %s", f.Impl, f.Workload, f.Says)
			}
			if c.Measure.Name == "bytes/conn" && f.Says != noDifference {
				t.Errorf("memory of %s: %s", f.Impl, f.Says)
			}
		}
	}
}

func TestOneFileComparedWithItself(t *testing.T) {
	r := exampleResults(t)
	text, all := compareText(t, r, r)
	if verdict(all) != noDifference {
		t.Errorf("verdict %s", verdict(all))
	}
	for _, c := range all {
		for _, f := range c.Findings {
			if f.Change.Ratio < 0.99 || f.Change.Ratio > 1.01 {
				t.Errorf("%s of %s changed by %v", c.Measure.Name, f.Impl, f.Change.Ratio)
			}
		}
	}
	if !strings.HasSuffix(text, "no difference in 128 comparisons of CPU per message\n") {
		t.Errorf("last lines:\n%s", text[max(0, len(text)-200):])
	}
}

// slowMachine is two runs of the same servers, the second on a machine that is slower by three tenths.
func slowMachine(impls ...string) (before, after *results) {
	y := synthetic{Seed: 1, Impls: impls, Workloads: closedLoads[:2], Rounds: 6, Noise: 0.01}
	before = y.run()
	y.Seed, y.Machine = 2, 0.3
	return before, y.run()
}

func TestWithoutAFloorTheMachineShows(t *testing.T) {
	before, after := slowMachine("tandem-epoll", "net")
	text, all := compareText(t, before, after)
	if verdict(all) != slower || !strings.Contains(text, "there is no bare-epoll in both") {
		t.Errorf("got:\n%s", text)
	}
}

func TestADifferentMachineIsTold(t *testing.T) {
	before, after := slowMachine(floorImpl, "net")
	text, all := compareText(t, before, after)
	if verdict(all) != noDifference || !strings.Contains(text, "the machine was not the same: bare-epoll itself changed by 1.3") {
		t.Errorf("got:\n%s", text)
	}
}

func TestCompareRefuses(t *testing.T) {
	y := synthetic{Seed: 1, Impls: []string{floorImpl, "net"}, Workloads: closedLoads[:1], Rounds: 5}
	whole := y.run()
	few := y
	few.Rounds = 3
	other := y
	other.Workloads = closedLoads[1:2]
	onlyFloor := y
	onlyFloor.Impls = y.Impls[:1]
	for want, pair := range map[string][2]*results{
		"3 and 3 rounds are too few":        {few.run(), few.run()},
		"no server under an equal":          {whole, other.run()},
		"no CPU time per message in common": {onlyFloor.run(), whole},
	} {
		if _, err := compareRuns(pair[0], pair[1], leastCPU); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestWhereTheFloorCannotServeTheMachineStillCancels has a workload without a floor, on a machine that became slower.
func TestWhereTheFloorCannotServeTheMachineStillCancels(t *testing.T) {
	y := synthetic{Seed: 1, Impls: []string{floorImpl, "net"}, Workloads: closedLoads[:3], Rounds: 6, Noise: 0.01, Drift: 0.2}
	without := func(r *results) *results {
		r.Samples = slices.DeleteFunc(r.Samples, func(s sample) bool {
			return s.Impl == floorImpl && s.Workload == closedLoads[2]
		})
		return r
	}
	before := without(y.run())
	y.Seed, y.Machine = 2, 0.3
	if text, all := compareText(t, before, without(y.run())); verdict(all) != noDifference {
		t.Errorf("got:\n%s", text)
	}
	y.Extra = func(impl string, w workload) int {
		return map[bool]int{true: 100}[impl == "net" && w == closedLoads[2]]
	}
	if text, all := compareText(t, before, without(y.run())); verdict(all) != slower {
		t.Errorf("got:\n%s", text)
	}
}

func TestRoundsThatDifferMuchAreTold(t *testing.T) {
	y := synthetic{Seed: 1, Impls: []string{floorImpl, "net"}, Workloads: closedLoads[:3], Rounds: 5, Noise: 0.15}
	before := y.run()
	y.Seed = 2
	const want = "the rounds differ much among each other"
	if text, _ := compareText(t, before, y.run()); !strings.Contains(text, want) {
		t.Errorf("got:\n%s", text)
	}
	if text, _ := compareText(t, calmRun(1, nil), calmRun(2, nil)); strings.Contains(text, want) {
		t.Errorf("of calm runs:\n%s", text)
	}
}
