package main

import (
	"github.com/spf13/cobra"
)

// measuringCommands are those that need Linux.
func measuringCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), profiled(serveCommand()), loadCommand()}
}
