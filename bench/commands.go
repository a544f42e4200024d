package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/campaign"
)

// execute runs one command line and returns the exit status.
func execute(args []string) int {
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure echo servers against the floor",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(measuringCommands()...)
	root.AddCommand(reportCommand(), compareCommand())
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if command == root { // it does nothing itself, so the line was wrong
		err = usageError{err}
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", command.CommandPath(), err)
	}
	return exitStatus(err)
}

// errReported is the error of a command that has already printed what went wrong.
var errReported = errors.New("already reported")

// errInterrupted is the error of a command that a signal ended early.
var errInterrupted = fmt.Errorf("interrupted: %w", errReported)

// usageError reports a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus is the one place that turns an error into a status.
func exitStatus(err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errors.ErrUnsupported):
		return campaign.ExitUnsupported
	default:
		return exitFailed
	}
}

// noArguments is cobra.NoArgs with the status of a wrong command line.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q: everything is given by flags", args[0])
	}
	return nil
}
