//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	var err error
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	switch args := os.Args[2:]; os.Args[1] {
	case "serve": // a child
		err = serve(args)
	case "relay":
		err = measureRelay(flags, args)
	case "fanout":
		err = measureFanOut(flags, args)
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: measure relay [--size MIB] [--rounds N] | measure fanout [--subscribers N] [--messages N] [--rounds N]")
	os.Exit(2)
}

// servers are what a child can be, by name.
var servers = map[string]func(target string) (address string, err error){
	"relay-net":    relayNet,
	"relay-epoll":  func(target string) (string, error) { return relayTandem("epoll", target) },
	"relay-uring":  func(target string) (string, error) { return relayTandem("uring", target) },
	"fanout-net":   fanOutNet,
	"fanout-epoll": func(string) (string, error) { return fanOutTandem("epoll") },
	"fanout-uring": func(string) (string, error) { return fanOutTandem("uring") },
}

// serve runs a server until its standard input ends.
func serve(args []string) error {
	runtime.GOMAXPROCS(1)
	start, ok := servers[args[0]]
	if !ok {
		return fmt.Errorf("there is no server %q", args[0])
	}
	address, err := start(args[1])
	if err != nil {
		return err
	}
	fmt.Println(address)
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}
