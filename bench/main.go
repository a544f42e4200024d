// Command bench measures echo servers against the floor: what the same answers cost with raw system calls and nothing
// else.
//
//	bench run      starts the servers one after another, loads each, and prints one table
//	bench serve    starts one server, for another load generator or a profiler
//	bench load     loads a server that is already there
//
// Server and load generator are always two processes, so that the processor time of one is never taken for that of the
// other. Only Linux has what is measured here; elsewhere the program compiles and says so.
package main

import (
	"os"
)

// Exit statuses. Zero means that all that was asked for was done.
const (
	exitFailed      = 1   // something went wrong, or an answer was wrong
	exitUsage       = 2   // the command line makes no sense
	exitInterrupted = 130 // run: ended by a signal before everything was measured
)

func main() { os.Exit(execute(os.Args[1:])) }
