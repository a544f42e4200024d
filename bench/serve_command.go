//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/control"
	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

func serveCommand() *cobra.Command {
	var (
		config servers.Config
		name   string
		socket string
		cpus   []int
	)
	command := &cobra.Command{
		Use:   "serve --impl IMPL [--addr HOST:PORT] [--mode MODE]",
		Short: "Start one server in the foreground, until SIGINT or SIGTERM",
		Long: "Start one server in the foreground, until SIGINT or SIGTERM.\n\n" +
			"Modes:\n" + workload.ListModes() + "\n\nImplementations, and the modes that each has:\n" + servers.List(),
		Example: "  bench serve --impl tandem-epoll --addr 127.0.0.1:9000\n" +
			"  bench serve --impl tandem-uring --addr 127.0.0.1:9000 --loops 2 --spin 50us\n" +
			"  bench serve --impl gnet --addr 127.0.0.1:9000 --mode frame-echo",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return usagef("--impl is missing: choose one of\n%s", servers.List())
			}
			im, err := servers.Check(name, config)
			if err != nil {
				return usageError{err}
			}
			return serve(c, im, config, socket, cpus)
		},
	}
	flags := command.Flags()
	flags.StringVar(&name, "impl", "", "which server to start")
	flags.StringVar(&config.Addr, "addr", "127.0.0.1:0", "where to listen; port 0: any free one")
	flags.StringVar(&config.Mode, "mode", workload.ModeEcho, "what the server does with what it receives")
	flags.IntVar(&config.Loops, "loops", 0, "event loops; 0: the default of the implementation")
	flags.DurationVar(&config.Spin, "spin", 0, "time to poll before sleeping")
	flags.DurationVar(&config.Work, "work", 0, "time to keep the CPU busy for each message, in echo and frame-echo")
	flags.StringVar(&socket, "control", "", "create a Unix socket here, and report allocations and GC pauses to its clients")
	flags.IntSliceVar(&cpus, "cpus", nil, "CPUs to run on (default: leave it to the kernel)")
	return command
}

// serve runs the server until a signal comes or it fails.
func serve(c *cobra.Command, im servers.Implementation, config servers.Config, socket string, cpus []int) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := process.Pin(cpus); err != nil {
		return err
	}
	s, err := im.Open(config)
	if err != nil {
		return fmt.Errorf("start %s on %s: %w", im.Name, config.Addr, err)
	}
	if socket != "" {
		if err := control.Serve(socket, s.Syscalls); err != nil {
			_ = s.Close()
			return fmt.Errorf("--control: %w", err)
		}
		defer os.Remove(socket)
	}
	line := fmt.Sprintf(campaign.ListeningLine, s.Addr, im.Name, config.Mode, s.Details)
	fmt.Fprintln(c.OutOrStdout(), strings.TrimSpace(line))
	select {
	case <-ctx.Done():
		stop() // a second signal ends a server that does not stop
		if err := closeWithin(s, 10*time.Second); err != nil {
			return fmt.Errorf("stop %s: %w", im.Name, err)
		}
		return nil
	case err := <-s.Failed:
		return fmt.Errorf("%s ended by itself: %w", im.Name, err)
	}
}

// closeWithin ends s, and does not wait longer than d for it.
func closeWithin(s *servers.Server, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("still running after %v", d)
	}
}
