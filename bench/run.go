//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// errTime ends a quick run that is slower than it may be.
var errTime = errors.New("took longer than it may")

// runFlags is what the command line of run says.
type runFlags struct {
	quick, full               bool
	impls, kinds              []string
	conns, sizes, depth, rate []int
	seconds                   float64
	warmup                    time.Duration
	rounds, procs             int
	syscalls                  bool
	work                      time.Duration
	label, out                string
}

func runCommand() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use:   "run [--quick | --full]",
		Short: "Start the servers one after another, load each, and print one table",
		Long: "Start the servers one after another, load each, and print one table.\n\n" +
			"--kind, --conns, --size, --depth and --rate may be lists; every combination is measured. An\n" +
			"implementation that lacks the mode for a kind is left out, and the table says so. Ctrl-C ends the run,\n" +
			"and what was measured until then is printed, and written to --out.\n\n" +
			"Kinds of load:\n" + listKinds() + "\n\nImplementations, and the modes that each has:\n" + listImplementations(),
		Example: "  bench run --quick                                     # the first look, within a minute\n" +
			"  bench run --full --out results.json                   # everything, in about 20 minutes\n" +
			"  bench run --impl bare-epoll,tandem-epoll,gnet --conns 8,64 --size 64,16384 --rounds 5\n" +
			"  bench run --kind echo --rate 5000,20000,80000         # latency at a load, without coordinated omission\n" +
			"  bench run --kind churn,fan-out,worker --conns 64\n" +
			"  bench run --kind idle --conns 10000 --rounds 1",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.plan(c)
			if err != nil {
				return err
			}
			return run(c, p, f)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&f.quick, "quick", false, "some servers, 64 and 1000 connections × 64 B, within a minute")
	flags.BoolVar(&f.full, "full", false, "all servers, all kinds of load, in about 20 minutes")
	flags.StringSliceVar(&f.impls, "impl", nil, "what to measure (default: all that are not variants)")
	flags.StringSliceVar(&f.kinds, "kind", []string{kindEcho}, "kinds of load")
	flags.IntSliceVar(&f.conns, "conns", []int{64}, "connections")
	flags.IntSliceVar(&f.sizes, "size", []int{64}, "bytes of a message")
	flags.IntSliceVar(&f.depth, "depth", []int{1}, "messages of a connection in flight")
	flags.IntSliceVar(&f.rate, "rate", []int{0}, "messages per second, of all connections together; 0: a closed loop")
	flags.Float64Var(&f.seconds, "seconds", 2, "how long to measure, each time")
	flags.DurationVar(&f.warmup, "warmup", 200*time.Millisecond, "how long to load before measuring")
	flags.IntVar(&f.rounds, "rounds", fullRounds, "how often to measure everything")
	flags.IntVar(&f.procs, "procs", 1, "GOMAXPROCS of the servers, their event loops, and how many CPUs they get")
	flags.DurationVar(&f.work, "work", 0, "have the servers, but not the bare ones, burn so much CPU for each message of echo and\n"+
		"frame-echo: to see whether compare finds it")
	flags.BoolVar(&f.syscalls, "syscalls", false, syscallsHelp)
	flags.StringVar(&f.label, "label", "", "what to call this run in its results")
	flags.StringVar(&f.out, "out", "", "write the results to this file, as JSON")
	return command
}

// plan makes a plan of the flags. With --quick, flags that are given still count.
func (f runFlags) plan(c *cobra.Command) (plan, error) {
	changed := c.Flags().Changed
	shaped := changed("kind") || changed("conns") || changed("size") || changed("depth") || changed("rate")
	switch {
	case f.quick && f.full:
		return plan{}, usagef("--quick and --full exclude each other")
	case f.full && shaped:
		return plan{}, usagef("--full says what load there is: leave --kind, --conns, --size, --depth and --rate away")
	}
	p := plan{
		Impls: f.impls, Named: len(f.impls) > 0, Rounds: f.rounds, Procs: f.procs, Syscalls: f.syscalls, Label: f.label, Work: f.work,
		Warmup: f.warmup, Window: time.Duration(f.seconds * float64(time.Second)),
	}
	if !p.Named {
		p.Impls = defaultNames()
		if f.quick {
			p.Impls = quickImpls
		}
	}
	switch {
	case f.full:
		p.Workloads = fullWorkloads
	case f.quick && !shaped:
		p.Workloads = quickWorkloads
	default:
		p.Workloads = combinations(f.kinds, f.conns, f.sizes, f.depth, f.rate)
	}
	if f.quick && !changed("rounds") {
		p.Rounds = quickRounds
	}
	if err := p.check(); err != nil {
		return plan{}, usageError{err}
	}
	for _, w := range p.Workloads {
		if err := checkDescriptors(w); err != nil {
			return plan{}, err
		}
	}
	if f.quick && !changed("seconds") {
		p.fit(quickLength, leastFit, quickWindow)
	}
	if f.full && !changed("seconds") {
		p.fit(fullLength, leastFit, fullWindow)
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return plan{}, err
	}
	p.confine(cpus)
	return p, nil
}

// run measures, and prints and writes what was measured, however it ended.
func run(c *cobra.Command, p plan, f runFlags) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, quickLimit, errTime)
		defer cancel()
	}
	// The children live no longer than the thread that starts them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	total := len(p.cells())
	fmt.Fprintf(os.Stderr, "%d measurements, about %d s\n", total, int(p.duration().Seconds()+0.5))
	r := measureAll(ctx, p, newProgress(os.Stderr, p))
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("not complete: %v; %d of %d measurements were made",
			context.Cause(ctx), len(r.Samples), total))
	}
	printTable(c.OutOrStdout(), r)
	if f.out != "" {
		if err := writeResults(f.out, r); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
		fmt.Fprintf(os.Stderr, "results: %s\n", f.out)
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		fmt.Fprintf(os.Stderr, "%s: %v: %d of %d measurements were made\n", c.CommandPath(), cause, len(r.Samples), total)
		if !errors.Is(cause, errTime) {
			return errInterrupted
		}
		if !firstRoundDone(p, r) {
			return errReported
		}
	}
	if len(r.Failures) > 0 {
		return errReported // the table says what failed
	}
	return nil
}

// firstRoundDone tells whether everything was measured at least once, which on a slow machine is enough for a quick run.
func firstRoundDone(p plan, r *results) bool {
	once := p
	once.Rounds = 1
	return len(r.Samples) >= len(once.cells())
}
