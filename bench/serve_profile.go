//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// profiled adds the flag --cpuprofile to a command that runs a server.
func profiled(command *cobra.Command) *cobra.Command {
	var path string
	command.Flags().StringVar(&path, "cpuprofile", "", "write a CPU profile to this `FILE` when the server ends")
	serve := command.RunE
	command.RunE = func(c *cobra.Command, args []string) error {
		if path == "" {
			return serve(c, args)
		}
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("--cpuprofile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(fmt.Errorf("--cpuprofile: %w", err), f.Close())
		}
		err = serve(c, args)
		pprof.StopCPUProfile()
		return errors.Join(err, f.Close())
	}
	return command
}
