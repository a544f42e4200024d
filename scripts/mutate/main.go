// Command mutate puts deliberate bugs into a copy of the tree, one after another, and says which test notices each.
// scripts/mutate.sh runs it; scripts/mutants.json has the bugs.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout))
}

// options are the command line's.
type options struct {
	check    bool
	wide     bool
	simulate time.Duration
	root     string
	names    []string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.BoolVar(&o.check, "check", false, "only look whether every bug can still be put in, and run nothing")
	f.BoolVar(&o.wide, "wide", false, "if the tests that should catch a bug do not, run all others, on epoll and io_uring")
	f.DurationVar(&o.simulate, "simulate", 0, "run random programs on a simulated or emulated kernel for so long, and no other test")
	f.StringVar(&o.root, "root", ".", "the directory of the `tree`")
	f.Usage = func() {
		_, _ = fmt.Fprintln(f.Output(), "usage: scripts/mutate.sh [--check] [--wide] [--simulate DURATION] [NAME ...]      default: all bugs of scripts/mutants.json")
		f.PrintDefaults()
	}
	err := f.Parse(args)
	o.names = f.Args()
	return o, err
}

// run returns the exit status: 1 if a bug was not caught, 2 if nothing could be found out.
func run(args []string, out io.Writer) int {
	o, err := parse(args)
	if err != nil {
		return 2
	}
	all, err := load(o.root)
	if err == nil {
		all, err = choose(all, o.names)
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "mutate: %v\n", err)
		return 2
	}
	if o.check {
		return check(all, o.root, out)
	}
	c, err := newCopy(o.root)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "mutate: copy the tree: %v\n", err)
		return 2
	}
	defer c.remove()
	if o.simulate > 0 {
		return simulateAll(c, all, o.simulate, out)
	}
	if v := c.unharmed(all); v.outcome != survived {
		_, _ = fmt.Fprintf(os.Stderr, "mutate: the tests fail without any bug: %v\n", v)
		return 2
	}
	return tryAll(c, all, o.wide, out)
}

// choose returns the mutants with these names, or all if there are none.
func choose(all []mutant, names []string) ([]mutant, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []mutant
	for _, name := range names {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no bug is called %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// check looks whether all mutants can be put in.
func check(all []mutant, root string, out io.Writer) (status int) {
	for _, m := range all {
		if _, err := m.in(root); err != nil {
			_, _ = fmt.Fprintf(out, "%s: %v\n", m.Name, err)
			status = 1
		}
	}
	if status == 0 {
		_, _ = fmt.Fprintf(out, "all %d bugs can be put in\n", len(all))
	}
	return status
}

// tryAll tries the mutants, and says at the end what became of each.
func tryAll(c *scratch, all []mutant, wide bool, out io.Writer) (status int) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	counts := map[string]int{}
	for i, m := range all {
		began := time.Now()
		v := c.try(m, wide)
		word, bad := v.word(m)
		if bad {
			status = 1
		}
		counts[word]++
		took := time.Since(began).Round(time.Second)
		_, _ = fmt.Fprintf(out, "%d/%d %s: %s (%v): %s\n    %s\n", i+1, len(all), m.Name, word, took, v.by, m.Breaks)
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, word, v.short(m))
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(out, "\n%s\n", table.String())
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		_, _ = fmt.Fprintf(out, "%d %s\n", counts[word], word)
	}
	return status
}
