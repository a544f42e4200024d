//go:build linux

package main

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"
)

// serverConfig is what an implementation is asked for. checkServe has refused what it cannot honour.
type serverConfig struct {
	Addr  string
	Mode  string
	Loops int           // 0: what the implementation takes by itself
	Spin  time.Duration // look this long without sleeping before sleeping; 0: do not
	Work  time.Duration // keep the CPU busy this long for each message, or for each piece that comes in one read
}

// server is one that listens.
type server struct {
	Addr     net.Addr
	Details  string       // what runs, in one line
	Failed   <-chan error // one error, if the server ends by itself
	Close    func() error // ends it and waits until it has ended; called once
	Syscalls func() int64 // system calls so far, as the server itself counts them; nil: it does not
}

// implementation is one server that can be measured.
type implementation struct {
	Name  string
	About string
	// Module is the path of the library it stands on; "" if that is Go's own.
	Module string
	Modes  []string
	Lacks  map[string]string // mode: why it is not there, if there is more to say than that
	Loops  bool              // it can have more than one event loop
	Spins  bool              // it can look for a while before it sleeps
	// Bare is a floor: what others are measured by.
	Bare bool
	// Extra keeps it out of the list that is measured when none is named.
	Extra bool
	Open  func(serverConfig) (*server, error)
}

// implementations lists all that this build knows, sorted by name.
func implementations() []implementation {
	all := []implementation{
		netImplementation(), gnetImplementation(), netpollImplementation(), nbioImplementation(), evioImplementation(),
	}
	all = append(all, bareImplementations()...)
	all = append(all, tandemImplementations()...)
	slices.SortFunc(all, func(a, b implementation) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// findImplementation looks up a name that a user typed.
func findImplementation(name string) (implementation, error) {
	var names []string
	for _, im := range implementations() {
		if im.Name == name {
			return im, nil
		}
		names = append(names, im.Name)
	}
	return implementation{}, fmt.Errorf("unknown implementation %q: choose one of %s", name, strings.Join(names, ", "))
}

// defaultNames lists what is measured when none is named.
func defaultNames() []string {
	var names []string
	for _, im := range implementations() {
		if !im.Extra {
			names = append(names, im.Name)
		}
	}
	return names
}

// loops is how many there are to be where the library itself would count CPUs that it may not use.
func (c serverConfig) loops() int {
	if c.Loops > 0 {
		return c.Loops
	}
	return runtime.GOMAXPROCS(0)
}
