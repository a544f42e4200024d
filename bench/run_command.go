//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/report"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

// errTime ends a quick run that is slower than it may be.
var errTime = errors.New("took too long")

// runFlags holds the flags of run.
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
			"implementation that lacks the mode for a kind is skipped, and the table says so. After Ctrl-C the samples\n" +
			"taken so far are printed, and written to --out.\n\n" +
			"Kinds of load:\n" + workload.ListKinds() + "\n\nImplementations, and the modes that each has:\n" + servers.List(),
		Example: "  bench run --quick                                     # a first look, within a minute\n" +
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
	flags.BoolVar(&f.quick, "quick", false, "some servers, echo on 64 and 1000 connections, TLS, WebSocket, within a minute")
	flags.BoolVar(&f.full, "full", false, "all servers, all kinds of load, in about 20 minutes")
	flags.StringSliceVar(&f.impls, "impl", nil, "servers to measure (default: all except variants)")
	flags.StringSliceVar(&f.kinds, "kind", []string{workload.KindEcho}, "kinds of load")
	flags.IntSliceVar(&f.conns, "conns", []int{64}, "connections")
	flags.IntSliceVar(&f.sizes, "size", []int{64}, "bytes of a message")
	flags.IntSliceVar(&f.depth, "depth", []int{1}, "messages of a connection in flight")
	flags.IntSliceVar(&f.rate, "rate", []int{0}, "messages per second, of all connections together; 0: a closed loop")
	flags.Float64Var(&f.seconds, "seconds", 2, "seconds that each measurement takes")
	flags.DurationVar(&f.warmup, "warmup", 200*time.Millisecond, "time to load before each measurement")
	flags.IntVar(&f.rounds, "rounds", campaign.FullRounds, "number of times to measure everything")
	flags.IntVar(&f.procs, "procs", 1, "GOMAXPROCS of the servers, their event loops, and how many CPUs they get")
	flags.DurationVar(&f.work, "work", 0, "CPU time that the servers, except the bare ones, burn for each message of echo and frame-echo,\n"+
		"to see whether compare detects it")
	flags.BoolVar(&f.syscalls, "syscalls", false, syscallsHelp)
	flags.StringVar(&f.label, "label", "", "name of this run in its results")
	flags.StringVar(&f.out, "out", "", "write the results to this file, as JSON")
	return command
}

// plan turns the flags into a plan. With --quick, other flags still count.
func (f runFlags) plan(c *cobra.Command) (campaign.Plan, error) {
	changed := c.Flags().Changed
	shaped := changed("kind") || changed("conns") || changed("size") || changed("depth") || changed("rate")
	switch {
	case f.quick && f.full:
		return campaign.Plan{}, usagef("--quick and --full exclude each other")
	case f.full && shaped:
		return campaign.Plan{}, usagef("--full defines the load: omit --kind, --conns, --size, --depth and --rate")
	}
	p := campaign.Plan{
		Impls: f.impls, Named: len(f.impls) > 0, Rounds: f.rounds, Procs: f.procs, Syscalls: f.syscalls, Label: f.label, Work: f.work,
		Warmup: f.warmup, Window: time.Duration(f.seconds * float64(time.Second)),
	}
	if !p.Named {
		p.Impls = servers.DefaultNames()
		if f.quick {
			p.Impls = campaign.QuickImpls
		}
	}
	p.Workloads = f.workloads(shaped)
	if !changed("size") {
		for i, w := range p.Workloads {
			p.Workloads[i].Size = workload.SizeOf(w.Kind, w.Size)
		}
	}
	if f.quick && !changed("rounds") {
		p.Rounds = campaign.QuickRounds
	}
	if f.quick && !changed("warmup") {
		p.Warmup = campaign.QuickWarmup
	}
	if err := p.Check(); err != nil {
		return campaign.Plan{}, usageError{err}
	}
	for _, w := range p.Workloads {
		if err := process.CheckDescriptors(w.Conns); err != nil {
			return campaign.Plan{}, usageError{err}
		}
	}
	if f.quick && !changed("seconds") {
		p.Fit(campaign.QuickLength, campaign.LeastFit, campaign.QuickWindow)
	}
	if f.full && !changed("seconds") {
		p.Fit(campaign.FullLength, campaign.LeastFit, campaign.FullWindow)
	}
	cpus, err := process.AllowedCPUs()
	if err != nil {
		return campaign.Plan{}, err
	}
	p.Confine(cpus)
	return p, nil
}

// workloads lists the workloads to measure. shaped: the command line describes them.
func (f runFlags) workloads(shaped bool) []workload.Workload {
	switch {
	case f.full:
		return slices.Clone(campaign.FullWorkloads)
	case f.quick && !shaped:
		return slices.Clone(campaign.QuickWorkloads)
	}
	return campaign.Combinations(f.kinds, f.conns, f.sizes, f.depth, f.rate)
}

// run measures, and prints and writes the results however the measuring ended.
func run(c *cobra.Command, p campaign.Plan, f runFlags) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, campaign.QuickLimit, errTime)
		defer cancel()
	}
	// The children live no longer than the thread that starts them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	total := len(p.Cells())
	fmt.Fprintf(os.Stderr, "%d measurements, about %d s\n", total, int(p.Duration().Seconds()+0.5))
	r := campaign.Measure(ctx, p, campaign.NewProgress(os.Stderr, p))
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("not complete: %v; %d of %d measurements were made",
			context.Cause(ctx), len(r.Samples), total))
	}
	report.Table(c.OutOrStdout(), r)
	if f.out != "" {
		if err := results.Write(f.out, r); err != nil {
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
		if !campaign.FirstRoundDone(p, r) {
			return errReported
		}
	}
	if len(r.Failures) > 0 {
		return errReported // the table says what failed
	}
	return nil
}
