//go:build linux

package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/load"
	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
)

func loadCommand() *cobra.Command {
	var (
		config load.Config
		addr   string
		cpus   []int
	)
	command := &cobra.Command{
		Use:   "load --addr HOST:PORT",
		Short: "Load a server, check every byte that comes back, and print one measurement as JSON",
		Long: "Load a server, check every byte that comes back, and print one measurement as JSON; times are in\n" +
			"nanoseconds. With --rate, messages are sent when they are due, whether the server keeps up or not, and\n" +
			"their latency starts then. Without it, the next are sent when the last have come back.\n\n" +
			"Kinds of load:\n" + workload.ListKinds(),
		Example: "  bench load --addr 127.0.0.1:9000 --conns 64 --size 64 --depth 16 --pid $(pidof server)\n" +
			"  bench load --addr 127.0.0.1:9000 --rate 20000             # latency at 20,000 messages per second\n" +
			"  bench load --addr 127.0.0.1:9000 --kind churn --conns 8   # connect, one message, close",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if config.Addr, err = sockets.Resolve(addr); err != nil {
				return usageError{err}
			}
			if !c.Flags().Changed("size") {
				config.Size = workload.SizeOf(config.Kind, config.Size)
			}
			if err := config.Check(); err != nil {
				return usageError{err}
			}
			if err := process.CheckDescriptors(config.Conns); err != nil {
				return usageError{err}
			}
			if err := process.Pin(cpus); err != nil {
				return err
			}
			result, err := load.Run(config)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(result)
		},
	}
	loadFlags(command, &config, &addr, &cpus)
	return command
}

// loadFlags adds the flags of load.
func loadFlags(command *cobra.Command, config *load.Config, addr *string, cpus *[]int) {
	flags := command.Flags()
	flags.StringVar(addr, "addr", "", "address of the server")
	flags.StringVar(&config.Kind, "kind", workload.KindEcho, "kind of load")
	flags.IntVar(&config.Conns, "conns", 64, "connections")
	flags.IntVar(&config.Size, "size", 64, "bytes of a message")
	flags.IntVar(&config.Depth, "depth", 1, "messages of a connection in flight")
	flags.IntVar(&config.Rate, "rate", 0, "messages per second, of all connections together (default 0: a closed loop)")
	flags.DurationVar(&config.Warmup, "warmup", 200*time.Millisecond, "time to load before measuring")
	flags.DurationVar(&config.Window, "window", 2*time.Second, "time to measure")
	flags.DurationVar(&config.Stall, "stall", load.StallLimit, "an answer that takes longer is an error")
	flags.IntVar(&config.PID, "pid", 0, "process ID of the server, to measure its CPU time and memory")
	flags.StringVar(&config.Control, "control", "", "the Unix socket that the server was given as --control")
	flags.BoolVar(&config.Syscalls, "syscalls", false, syscallsHelp)
	flags.IntSliceVar(cpus, "cpus", nil, "CPUs to run on (default: leave it to the kernel)")
}

const syscallsHelp = "count the server's system calls in the kernel, which makes each of them slower; needs tracefs and CAP_PERFMON"
