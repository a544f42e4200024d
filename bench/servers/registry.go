//go:build linux

package servers

import (
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tandem-io/tandem/bench/machine"
	"github.com/tandem-io/tandem/bench/workload"
)

// Config is what an implementation is asked for. checkServe has refused what it cannot honour.
type Config struct {
	Addr  string
	Mode  string
	Loops int           // 0: what the implementation takes by itself
	Spin  time.Duration // look this long without sleeping before sleeping; 0: do not
	Work  time.Duration // keep the CPU busy this long for each message, or for each piece that comes in one read
}

// Server is one that listens.
type Server struct {
	Addr     net.Addr
	Details  string       // what runs, in one line
	Failed   <-chan error // one error, if the server ends by itself
	Close    func() error // ends it and waits until it has ended; called once
	Syscalls func() int64 // system calls so far, as the server itself counts them; nil: it does not
}

// Implementation is one server that can be measured.
type Implementation struct {
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
	Open  func(Config) (*Server, error)
}

// All lists all that this build knows, sorted by name.
func All() []Implementation {
	all := []Implementation{
		netImplementation(), gnetImplementation(), netpollImplementation(), nbioImplementation(), evioImplementation(),
	}
	all = append(all, bareImplementations()...)
	all = append(all, tandemImplementations()...)
	slices.SortFunc(all, func(a, b Implementation) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find looks up a name that a user typed.
func Find(name string) (Implementation, error) {
	var names []string
	for _, im := range All() {
		if im.Name == name {
			return im, nil
		}
		names = append(names, im.Name)
	}
	return Implementation{}, fmt.Errorf("unknown implementation %q: choose one of %s", name, strings.Join(names, ", "))
}

// DefaultNames lists what is measured when none is named.
func DefaultNames() []string {
	var names []string
	for _, im := range All() {
		if !im.Extra {
			names = append(names, im.Name)
		}
	}
	return names
}

// loops is how many there are to be where the library itself would count CPUs that it may not use.
func (c Config) loops() int {
	if c.Loops > 0 {
		return c.Loops
	}
	return runtime.GOMAXPROCS(0)
}

// List is one line of help for each.
func List() string {
	var b strings.Builder
	for _, im := range All() {
		fmt.Fprintf(&b, "  %-20s %s (%s)\n", im.Name, im.About, strings.Join(im.Modes, ", "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Version is that of the library an implementation stands on.
func (im Implementation) Version() string {
	if im.Module == "" {
		return runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path != im.Module {
			continue
		}
		if m.Replace != nil { // it lies in the same tree as this program
			return machine.ProgramVersion()
		}
		return m.Version
	}
	return ""
}

// Supports tells whether the implementation can serve the workload.
func (im Implementation) Supports(w workload.Workload) bool {
	return slices.Contains(im.Modes, w.Mode())
}
