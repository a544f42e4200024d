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
	Addr   *net.TCPAddr
	Conns  int
	Size   int           // bytes of a message
	Depth  int           // messages of one connection in flight
	Warmup time.Duration // not measured
	Window time.Duration // measured
	Stall  time.Duration // an answer that takes longer is an error
	PID    int           // process whose CPU time is measured; 0: none
}

func loadCommand() *cobra.Command {
	var (
		config loadConfig
		addr   string
		cpus   []int
	)
	command := &cobra.Command{
		Use:   "load --addr HOST:PORT",
		Short: "Load an echo server, check every byte, and print one measurement as JSON",
		Long: "Load an echo server in a closed loop: every connection sends --depth messages at once, waits until all\n" +
			"came back, and sends the next. Every byte is checked. Prints one measurement as JSON; times are in\n" +
			"nanoseconds.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if config.Addr, err = resolve(addr); err != nil {
				return usageError{err}
			}
			if err := config.check(); err != nil {
				return usageError{err}
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
	flags.IntVar(&config.Conns, "conns", 64, "connections")
	flags.IntVar(&config.Size, "size", 64, "bytes of a message")
	flags.IntVar(&config.Depth, "depth", 1, "messages of a connection in flight")
	flags.DurationVar(&config.Warmup, "warmup", 200*time.Millisecond, "load this long before measuring")
	flags.DurationVar(&config.Window, "window", 2*time.Second, "measure this long")
	flags.DurationVar(&config.Stall, "stall", stallLimit, "an answer that takes longer is an error")
	flags.IntVar(&config.PID, "pid", 0, "the server's process, to measure its CPU time")
	flags.IntSliceVar(&cpus, "cpus", nil, "CPUs to run on (default: leave it to the kernel)")
	return command
}

func (c loadConfig) check() error {
	const most = 1 << 20 // connections, and bytes of one connection in flight
	switch {
	case c.Conns < 1 || c.Conns > most:
		return fmt.Errorf("bad number of connections %d: want 1 to %d", c.Conns, most)
	case c.Size < 1 || c.Depth < 1 || c.Size > most || c.Depth > most/c.Size:
		return fmt.Errorf("bad size %d and depth %d: want 1 or more, and at most %d bytes together", c.Size, c.Depth, most)
	case c.Warmup < 0 || c.Window <= 0 || c.Stall <= 0:
		return fmt.Errorf("bad times: warm-up %v, window %v, stall %v", c.Warmup, c.Window, c.Stall)
	}
	return nil
}

// runLoad makes one measurement on a thread of its own.
func runLoad(config loadConfig) (loadResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g, err := newGenerator(config)
	if err != nil {
		return loadResult{}, err
	}
	defer g.close()
	return g.run()
}
