package main

import (
	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/compare"
	"github.com/tandem-io/tandem/bench/results"
)

func compareCommand() *cobra.Command {
	var (
		impls []string
		least float64
	)
	command := &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Report whether servers became slower between two runs",
		Long: "Report whether servers became slower between two runs, by their CPU time per message. Rates, latencies and\n" +
			"memory are shown as well, but do not count for the verdict, which is the last line.\n\n" +
			"A run may be several files, with commas between them: rounds that were measured in turn with those of the other\n" +
			"run, so that a machine that becomes slower meanwhile is no difference.\n\n" +
			"Everything that both runs measured is compared round by round, as ratios to " + results.Floor + " in the same\n" +
			"round if both have it. At most 1 in 20 pairs of equal runs is called slower. Changes below --least are\n" +
			"ignored. Measure at least five rounds.\n\n" +
			"Exit status: 0 no difference, or faster; 1 slower; 2 undecided: the command line is wrong, a file cannot\n" +
			"be read, or the two runs have too little in common.",
		Example: "  bench run --rounds 7 --out old.json\n" +
			"  bench run --rounds 7 --out new.json\n" +
			"  bench compare old.json new.json\n" +
			"  bench compare --impl tandem-epoll --least 0.1 old.json new.json\n" +
			"  bench compare old1.json,old2.json,old3.json,old4.json new1.json,new2.json,new3.json,new4.json",
		Args: twoFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if least <= 0 || least >= 10 {
				return usagef("bad --least %v: want a fraction, such as 0.05", least)
			}
			before, after, err := compare.Read(args[0], args[1], impls)
			if err != nil {
				return usageError{err}
			}
			all, err := compare.Runs(before, after, least)
			if err != nil {
				return usageError{err}
			}
			if err := compare.Print(c.OutOrStdout(), before, after, all); err != nil {
				return usageError{err}
			}
			if compare.Verdict(all) == compare.Slower {
				return errReported // the last line says so
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&impls, "impl", nil, "compare these only (default: all that both have)")
	flags.Float64Var(&least, "least", compare.LeastCPU, "smallest relative change of CPU per message that counts")
	return command
}

func twoFiles(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usagef("%d arguments: want two files of results, the old one and the new one", len(args))
	}
	return nil
}
