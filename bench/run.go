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

// What --quick measures, how long that may take, and when it is given up.
var (
	quickShapes = []shape{{Conns: 64, Size: 64, Depth: 1}, {Conns: 1000, Size: 64, Depth: 1}}
	errTime     = errors.New("took longer than it may")
)

const (
	quickRounds = 3
	quickLength = 34 * time.Second
	quickLimit  = 50 * time.Second
)

// runFlags is what the command line of run says.
type runFlags struct {
	quick               bool
	impls               []string
	conns, sizes, depth []int
	seconds             float64
	warmup              time.Duration
	rounds, procs       int
}

func runCommand() *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use:   "run [--quick]",
		Short: "Start the servers one after another, load each, and print one table",
		Long: "Start the servers one after another, load each, and print one table.\n\n" +
			"--conns, --size and --depth may be lists; every combination is measured.\n\n" +
			"Implementations:\n" + listImplementations(),
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := f.plan(c)
			if err != nil {
				return err
			}
			return run(c, p, f.quick)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&f.quick, "quick", false, "64 and 1000 connections × 64 B, within a minute")
	flags.StringSliceVar(&f.impls, "impl", nil, "what to measure (default: all that are not variants)")
	flags.IntSliceVar(&f.conns, "conns", []int{64}, "connections")
	flags.IntSliceVar(&f.sizes, "size", []int{64}, "bytes of a message")
	flags.IntSliceVar(&f.depth, "depth", []int{1}, "messages of a connection in flight")
	flags.Float64Var(&f.seconds, "seconds", 2, "how long to measure, each time")
	flags.DurationVar(&f.warmup, "warmup", 200*time.Millisecond, "how long to load before measuring")
	flags.IntVar(&f.rounds, "rounds", quickRounds, "how often to measure everything")
	flags.IntVar(&f.procs, "procs", 1, "GOMAXPROCS of the servers, and how many CPUs they get")
	return command
}

// plan makes a plan of the flags. With --quick, flags that are given still count.
func (f runFlags) plan(c *cobra.Command) (plan, error) {
	p := plan{
		Impls: f.impls, Named: len(f.impls) > 0, Rounds: f.rounds, Procs: f.procs,
		Warmup: f.warmup, Window: time.Duration(f.seconds * float64(time.Second)),
	}
	if !p.Named {
		p.Impls = defaultNames()
	}
	changed := c.Flags().Changed
	if f.quick && !changed("conns") && !changed("size") && !changed("depth") {
		p.Shapes = quickShapes
	} else {
		p.Shapes = combinations(f.conns, f.sizes, f.depth)
	}
	if err := p.check(); err != nil {
		return plan{}, usageError{err}
	}
	if f.quick && !changed("seconds") {
		p.fit(quickLength)
	}
	for _, s := range p.Shapes {
		l := loadConfig{Conns: s.Conns, Size: s.Size, Depth: s.Depth, Warmup: p.Warmup, Window: p.Window, Stall: stallLimit}
		if err := l.check(); err != nil {
			return plan{}, usageError{err}
		}
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return plan{}, err
	}
	p.confine(cpus)
	return p, nil
}

func combinations(conns, sizes, depths []int) []shape {
	var shapes []shape
	for _, c := range conns {
		for _, s := range sizes {
			for _, d := range depths {
				shapes = append(shapes, shape{Conns: c, Size: s, Depth: d})
			}
		}
	}
	return shapes
}

// run measures, and prints what was measured, however it ended.
func run(c *cobra.Command, p plan, quick bool) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, quickLimit, errTime)
		defer cancel()
	}
	// The children live no longer than the thread that starts them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fmt.Fprintf(os.Stderr, "%d measurements, about %d s\n", p.measurements(), int(p.duration().Seconds()+0.5))
	r := measureAll(ctx, p, newProgress(os.Stderr, p))
	fmt.Fprint(c.OutOrStdout(), r.table(machine()))
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		fmt.Fprintf(os.Stderr, "%s: %v: %d of %d measurements were made\n", c.CommandPath(), cause, len(r.results),
			p.measurements())
		if !errors.Is(cause, errTime) {
			return errInterrupted
		}
		return errReported
	}
	if len(r.failures) > 0 {
		return errReported // the table says what failed
	}
	return nil
}
