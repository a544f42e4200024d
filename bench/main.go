// Command bench compares echo servers with the floor: what the same answers cost with raw system calls and nothing
// else.
//
//	bench run      starts the servers one after another, loads each, and prints one table
//	bench serve    starts one server, for another load generator or a profiler
//	bench load     loads a server that is already running
//
// Server and load generator are always two processes, so that the CPU time of one is never counted for the other. Only
// Linux has epoll and io_uring; elsewhere the program compiles, and run, serve and load fail.
package main

import (
	"os"
)

// Exit statuses. Zero means that all that was asked for was done.
const (
	exitFailed      = 1   // something failed, or an answer was wrong
	exitUsage       = 2   // the command line is wrong
	exitInterrupted = 130 // run: ended by a signal before everything was measured
)

func main() { os.Exit(execute(os.Args[1:])) }
