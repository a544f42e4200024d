package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func compareCommand() *cobra.Command {
	var (
		impls []string
		least float64
	)
	command := &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Tell whether servers became slower from one run to another",
		Long: "Tell whether servers became slower from one run to another, by their CPU time per message. Rates, latencies\n" +
			"and memory are told, too, and do not count for the verdict, which is the last line.\n\n" +
			"What both runs measured is compared round by round, as ratios to " + floorImpl + " in the same round if both\n" +
			"have it. Of all comparisons together, 1 in 20 pairs of equal runs may be called slower; too small a\n" +
			"change is none. Measure at least five rounds.\n\n" +
			"Exit status: 0 no difference, or faster; 1 slower; 2 cannot tell: the command line is wrong, a file cannot\n" +
			"be read, or the two have too little in common.",
		Example: "  bench run --rounds 7 --out old.json\n" +
			"  bench run --rounds 7 --out new.json\n" +
			"  bench compare old.json new.json\n" +
			"  bench compare --impl tandem-epoll --least 0.1 old.json new.json",
		Args: twoFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if least <= 0 || least >= 10 {
				return usagef("bad --least %v: want a share, such as 0.05 for a twentieth", least)
			}
			before, after, err := readBoth(args[0], args[1], impls)
			if err != nil {
				return usageError{err}
			}
			all, err := compareRuns(before, after, least)
			if err != nil {
				return usageError{err}
			}
			if err := printComparison(c.OutOrStdout(), before, after, all); err != nil {
				return usageError{err}
			}
			if verdict(all) == slower {
				return errReported // the last line says so
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&impls, "impl", nil, "compare these only (default: all that both have)")
	flags.Float64Var(&least, "least", leastCPU, "share by which CPU per message has to change to count")
	return command
}

func twoFiles(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usagef("%d arguments: want two files of results, the old one and the new one", len(args))
	}
	return nil
}

// readBoth reads the two files and keeps the samples of the named implementations, and of the floor.
func readBoth(before, after string, impls []string) (*results, *results, error) {
	var both [2]*results
	for i, path := range []string{before, after} {
		r, err := readResults(path)
		if err != nil {
			return nil, nil, err
		}
		for _, impl := range impls {
			if !slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Impl == impl }) {
				return nil, nil, fmt.Errorf("%s has no samples of %q: it has %s", path, impl, strings.Join(implOrder(r), ", "))
			}
		}
		if len(impls) > 0 {
			r.Samples = slices.DeleteFunc(r.Samples, func(s sample) bool {
				return s.Impl != floorImpl && !slices.Contains(impls, s.Impl)
			})
		}
		both[i] = r
	}
	return both[0], both[1], nil
}

// compareRuns compares two runs by every measure. It fails if there is nothing to compare, or too little to tell.
func compareRuns(before, after *results, least float64) ([]comparison, error) {
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
		all     []comparison
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
		return nil, fmt.Errorf("the two runs have no CPU time per message in common, of any server but %s", floorImpl)
	}
	return all, nil
}
