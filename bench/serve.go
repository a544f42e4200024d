//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var (
		config  serverConfig
		name    string
		control string
		cpus    []int
	)
	command := &cobra.Command{
		Use:   "serve --impl IMPL [--addr HOST:PORT] [--mode MODE]",
		Short: "Start one server in the foreground, until SIGINT or SIGTERM",
		Long: "Start one server in the foreground, until SIGINT or SIGTERM.\n\n" +
			"Modes:\n" + listModes() + "\n\nImplementations, and the modes that each has:\n" + listImplementations(),
		Example: "  bench serve --impl tandem-epoll --addr 127.0.0.1:9000\n" +
			"  bench serve --impl tandem-uring --addr 127.0.0.1:9000 --loops 2 --spin 50us\n" +
			"  bench serve --impl gnet --addr 127.0.0.1:9000 --mode frame-echo",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if name == "" {
				return usagef("--impl is missing: choose one of\n%s", listImplementations())
			}
			im, err := checkServe(name, config)
			if err != nil {
				return usageError{err}
			}
			return serve(c, im, config, control, cpus)
		},
	}
	flags := command.Flags()
	flags.StringVar(&name, "impl", "", "which server to start")
	flags.StringVar(&config.Addr, "addr", "127.0.0.1:0", "where to listen; port 0: any free one")
	flags.StringVar(&config.Mode, "mode", modeEcho, "what the server does with what it gets")
	flags.IntVar(&config.Loops, "loops", 0, "event loops; 0: what the implementation takes by itself")
	flags.DurationVar(&config.Spin, "spin", 0, "look this long without sleeping before sleeping")
	flags.DurationVar(&config.Work, "work", 0, "keep the CPU busy this long for each message, in echo and frame-echo")
	flags.StringVar(&control, "control", "", "tell allocations and GC pauses to who connects to a Unix socket made here")
	flags.IntSliceVar(&cpus, "cpus", nil, "CPUs to run on (default: leave it to the kernel)")
	return command
}

// listImplementations is one line of help for each.
func listImplementations() string {
	var b strings.Builder
	for _, im := range implementations() {
		fmt.Fprintf(&b, "  %-20s %s (%s)\n", im.Name, im.About, strings.Join(im.Modes, ", "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// checkServe finds what can be seen to be wrong before anything is opened.
func checkServe(name string, config serverConfig) (implementation, error) {
	im, err := findImplementation(name)
	if err != nil {
		return im, err
	}
	if err := im.checkMode(config.Mode); err != nil {
		return im, err
	}
	if _, err := resolve(config.Addr); err != nil {
		return im, err
	}
	if config.Loops < 0 {
		return im, fmt.Errorf("bad --loops %d: want 0 or more", config.Loops)
	}
	if config.Loops > 1 && !im.Loops {
		return im, fmt.Errorf("%s cannot have %d loops: leave --loops away, or give 1", name, config.Loops)
	}
	if config.Spin < 0 {
		return im, fmt.Errorf("bad --spin %v: want 0 or more", config.Spin)
	}
	if config.Spin > 0 && !im.Spins {
		return im, fmt.Errorf("%s cannot spin before it sleeps: leave --spin away", name)
	}
	if config.Work < 0 {
		return im, fmt.Errorf("bad --work %v: want 0 or more", config.Work)
	}
	if config.Work > 0 && config.Mode != modeEcho && config.Mode != modeFrameEcho {
		return im, fmt.Errorf("mode %s does no --work: only echo and frame-echo do", config.Mode)
	}
	return im, nil
}

// resolve looks up the address that --addr names.
func resolve(address string) (*net.TCPAddr, error) {
	if address == "" {
		return nil, errors.New("bad --addr: it is empty, want HOST:PORT")
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bad --addr %q: want HOST:PORT: %w", address, err)
	}
	return a, nil
}

// serve runs the server until a signal comes or it fails.
func serve(c *cobra.Command, im implementation, config serverConfig, control string, cpus []int) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := pinProcess(cpus); err != nil {
		return err
	}
	s, err := im.Open(config)
	if err != nil {
		return fmt.Errorf("start %s on %s: %w", im.Name, config.Addr, err)
	}
	if control != "" {
		if err := tellCounts(control, s); err != nil {
			_ = s.Close()
			return fmt.Errorf("--control: %w", err)
		}
		defer os.Remove(control)
	}
	line := fmt.Sprintf(listeningLine, s.Addr, im.Name, config.Mode, s.Details)
	fmt.Fprintln(c.OutOrStdout(), strings.TrimSpace(line))
	select {
	case <-ctx.Done():
		stop() // a second signal ends a server that does not want to end
		if err := closeWithin(s, 10*time.Second); err != nil {
			return fmt.Errorf("stop %s: %w", im.Name, err)
		}
		return nil
	case err := <-s.Failed:
		return fmt.Errorf("%s ended by itself: %w", im.Name, err)
	}
}

// closeWithin ends s, and does not wait longer than d for it.
func closeWithin(s *server, d time.Duration) error {
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
