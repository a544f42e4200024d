//go:build linux

package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// serverConfig is what an implementation is asked for. What it cannot honour is an error, never ignored.
type serverConfig struct {
	Addr  string
	Mode  string
	Loops int           // 0: what the implementation takes by itself
	Spin  time.Duration // look this long without sleeping before sleeping; 0: do not
}

// server is one that listens.
type server struct {
	Addr    net.Addr
	Details string       // what runs, in one line
	Failed  <-chan error // one error, if the server ends by itself
	Close   func() error // ends it and waits until it has ended; called once
}

// implementation is one echo server that can be measured.
type implementation struct {
	Name  string
	About string
	Modes []string
	// Extra keeps it out of the list that is measured when none is named.
	Extra bool
	Open  func(serverConfig) (*server, error)
}

const modeEcho = "echo"

// implementations lists all that this build knows, sorted by name.
func implementations() []implementation {
	var all []implementation
	all = append(all, bareImplementations()...)
	all = append(all, netImplementation())
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

// checkMode reports a mode that the implementation does not have.
func (im implementation) checkMode(mode string) error {
	if slices.Contains(im.Modes, mode) {
		return nil
	}
	return fmt.Errorf("unknown mode %q for %s: choose one of %s", mode, im.Name, strings.Join(im.Modes, ", "))
}

// onlyPlain refuses loops and spinning for an implementation that has neither.
func (c serverConfig) onlyPlain(name string) error {
	if c.Loops > 1 {
		return fmt.Errorf("%s cannot have %d loops: leave --loops away, or give 1", name, c.Loops)
	}
	if c.Spin > 0 {
		return fmt.Errorf("%s cannot spin before it sleeps: leave --spin away", name)
	}
	return nil
}
