//go:build !linux

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// measuringCommands say that they need Linux.
func measuringCommands() []*cobra.Command {
	var commands []*cobra.Command
	for _, name := range []string{"run", "serve", "load"} {
		commands = append(commands, &cobra.Command{
			Use:                name,
			Short:              "Needs Linux: epoll and io_uring are measured",
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return fmt.Errorf("needs Linux: it measures epoll and io_uring, and this is %s", runtime.GOOS)
			},
		})
	}
	return commands
}
