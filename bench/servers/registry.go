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

// Config describes the server to open. Check has refused what the implementation cannot do.
type Config struct {
	Addr  string
	Mode  string
	Loops int           // 0: the default of the implementation
	Spin  time.Duration // time to poll before sleeping
	Work  time.Duration // time to keep the CPU busy for each message, or for each read
}

// Server is a running server.
type Server struct {
	Addr     net.Addr
	Details  string       // description in one line
	Failed   <-chan error // one error, if the server ends by itself
	Close    func() error // ends it and waits until it has ended; called once
	Syscalls func() int64 // system calls so far, as the server itself counts them; nil: it does not
}

// Implementation is one server that can be measured.
type Implementation struct {
	Name  string
	About string
	// Module is the path of the library that it uses, or "" if that is the standard library.
	Module string
	Modes  []string
	Lacks  map[string]string // reason why a mode is missing, if there is one
	Loops  bool              // it can have more than one event loop
	Spins  bool              // it can poll for a while before it sleeps
	// Bare marks a floor, with which others are compared.
	Bare bool
	// Extra excludes it from runs that do not name it.
	Extra bool
	Open  func(Config) (*Server, error)
}

// All lists the implementations of this build, sorted by name.
func All() []Implementation {
	all := []Implementation{
		netImplementation(), gnetImplementation(), netpollImplementation(), nbioImplementation(), evioImplementation(),
		gorillaImplementation(), coderImplementation(), fasthttpImplementation(),
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

// DefaultNames lists the implementations that are measured by default.
func DefaultNames() []string {
	var names []string
	for _, im := range All() {
		if !im.Extra {
			names = append(names, im.Name)
		}
	}
	return names
}

// loops is the number of event loops for libraries that would otherwise count CPUs that they may not use.
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

// Version is the version of the library that the implementation uses.
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

// Supports reports whether the implementation can serve the workload.
func (im Implementation) Supports(w workload.Workload) bool {
	return slices.Contains(im.Modes, w.Mode())
}
