package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/results"
)

// Read reads the two runs, each of which may be several files with commas between them, and keeps the samples of the named
// implementations, and of the floor.
func Read(before, after string, impls []string) (*results.Results, *results.Results, error) {
	var both [2]*results.Results
	for i, path := range []string{before, after} {
		r, err := results.ReadRounds(strings.Split(path, ","))
		if err != nil {
			return nil, nil, err
		}
		for _, impl := range impls {
			if !slices.ContainsFunc(r.Samples, func(s results.Sample) bool { return s.Impl == impl }) {
				return nil, nil, fmt.Errorf("%s has no samples of %q: it has %s", path, impl, strings.Join(results.ServerOrder(r), ", "))
			}
		}
		if len(impls) > 0 {
			r.Samples = slices.DeleteFunc(r.Samples, func(s results.Sample) bool {
				return s.Impl != results.Floor && !slices.Contains(impls, s.Impl)
			})
		}
		both[i] = r
	}
	return both[0], both[1], nil
}

// Runs compares two runs by every measure. It fails if they have nothing to compare, or too few rounds.
func Runs(before, after *results.Results, least float64) ([]Comparison, error) {
	pairs := pairings(before, after)
	if len(pairs) == 0 {
		return nil, errors.New("the two runs have no server under an equal workload in common")
	}
	old, recent := roundsOf(before), roundsOf(after)
	if n := ways(old+recent, old); n < fewestDeals {
		return nil, fmt.Errorf("%d and %d rounds are too few to tell a change from chance: measure at least 4 each, "+
			"better 5 to 10", old, recent)
	}
	var (
		all     []Comparison
		decided bool
	)
	for _, m := range measures() {
		if m.Decides {
			m.Least = least
		}
		c := compareBy(m, pairs, old, recent)
		decided = decided || m.Decides && len(c.Findings) > 0
		all = append(all, c)
	}
	if !decided {
		return nil, fmt.Errorf("the two runs have no CPU time per message in common, of any server but %s", results.Floor)
	}
	return all, nil
}
