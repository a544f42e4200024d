//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// loadConfig is one measurement.
type loadConfig struct {
	workload
	Addr     *net.TCPAddr
	Warmup   time.Duration // not measured
	Window   time.Duration // measured
	Stall    time.Duration // an answer that takes longer is an error
	PID      int           // process whose CPU time and memory are measured; 0: none
	Control  string        // Unix socket on which the server tells its counts; "": none
	Syscalls bool          // count the server's system calls
}

func loadCommand() *cobra.Command {
	var (
		config loadConfig
		addr   string
		cpus   []int
	)
	command := &cobra.Command{
		Use:   "load --addr HOST:PORT",
		Short: "Load a server, check every byte that comes back, and print one measurement as JSON",
		Long: "Load a server, check every byte that comes back, and print one measurement as JSON; times are in\n" +
			"nanoseconds. With --rate, messages are sent when they are due, whether the server keeps up or not, and\n" +
			"their time counts from then; else the next are sent when the last have come back.\n\n" +
			"Kinds of load:\n" + listKinds(),
		Example: "  bench load --addr 127.0.0.1:9000 --conns 64 --size 64 --depth 16 --pid $(pidof server)\n" +
			"  bench load --addr 127.0.0.1:9000 --rate 20000             # latency at 20,000 messages per second\n" +
			"  bench load --addr 127.0.0.1:9000 --kind churn --conns 8   # connect, one message, close",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if config.Addr, err = resolve(addr); err != nil {
				return usageError{err}
			}
			if err := config.check(); err != nil {
				return usageError{err}
			}
			if err := checkDescriptors(config.workload); err != nil {
				return err
			}
			if err := pinProcess(cpus); err != nil {
				return err
			}
			result, err := runLoad(config)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(result)
		},
	}
	flags := command.Flags()
	flags.StringVar(&addr, "addr", "", "where the server listens")
	flags.StringVar(&config.Kind, "kind", kindEcho, "kind of load")
	flags.IntVar(&config.Conns, "conns", 64, "connections")
	flags.IntVar(&config.Size, "size", 64, "bytes of a message")
	flags.IntVar(&config.Depth, "depth", 1, "messages of a connection in flight")
	flags.IntVar(&config.Rate, "rate", 0, "messages per second, of all connections together (default 0: a closed loop)")
	flags.DurationVar(&config.Warmup, "warmup", 200*time.Millisecond, "load this long before measuring")
	flags.DurationVar(&config.Window, "window", 2*time.Second, "measure this long")
	flags.DurationVar(&config.Stall, "stall", stallLimit, "an answer that takes longer is an error")
	flags.IntVar(&config.PID, "pid", 0, "the server's process, to measure its CPU time and memory")
	flags.StringVar(&config.Control, "control", "", "the Unix socket that the server was given as --control")
	flags.BoolVar(&config.Syscalls, "syscalls", false, syscallsHelp)
	flags.IntSliceVar(&cpus, "cpus", nil, "CPUs to run on (default: leave it to the kernel)")
	return command
}

const syscallsHelp = "count the server's system calls in the kernel, which makes each dearer; needs tracefs and CAP_PERFMON"

func (c loadConfig) check() error {
	if err := c.workload.check(); err != nil {
		return err
	}
	switch {
	case c.Warmup < 0 || c.Window <= 0 || c.Stall <= 0:
		return fmt.Errorf("bad times: warm-up %v, window %v, stall %v", c.Warmup, c.Window, c.Stall)
	case c.PID < 0:
		return fmt.Errorf("bad --pid %d: want the number of a process", c.PID)
	case c.PID == 0 && c.Kind == kindIdle:
		return fmt.Errorf("%s needs --pid: it looks at the memory of the server", kindIdle)
	case c.PID == 0 && c.Syscalls:
		return fmt.Errorf("--syscalls needs --pid: it looks at the server's threads")
	}
	return nil
}

// runLoad makes one measurement on a thread of its own.
func runLoad(config loadConfig) (sample, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if config.Kind == kindIdle {
		return runIdle(config)
	}
	g, err := newGenerator(config)
	if err != nil {
		return sample{}, err
	}
	defer g.close()
	return g.run()
}
