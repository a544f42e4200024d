//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
)

// fault is a server that does something wrong, so that a bound must notice it. The tests of this program use them.
type fault struct {
	limits  func(*limits)
	handler func(tandem.Handler) tandem.Handler
	start   func(tandem.Transport)
}

var faults = map[string]fault{
	"": {},
	"no-limits": {limits: func(l *limits) {
		l.MemoryLimit = 0
		l.Stream.HighWater, l.Stream.WriteBufferLimit, l.Stream.ReadBufferLimit = 1<<30, 1<<30, 1<<30
	}, handler: func(h tandem.Handler) tandem.Handler {
		return &careless{Handler: h, came: func(s *tandem.Stream) { _, _ = s.Write(zeros) }}
	}},
	"no-times": {limits: func(l *limits) {
		l.Stream.IdleTimeout, l.Stream.HalfCloseTimeout, l.MessageTimeout = 0, 0, 0
	}},
	"keeps-streams": {limits: func(l *limits) {
		l.Stream.IdleTimeout, l.Stream.HalfCloseTimeout, l.Stream.AllowHalfClose = 0, 0, true
	}},
	"leaks-descriptors": {handler: func(h tandem.Handler) tandem.Handler {
		return &careless{Handler: h, opened: func() { _, _ = syscall.Dup(0) }}
	}},
	"leaks-memory": {handler: func(h tandem.Handler) tandem.Handler {
		var mu sync.Mutex
		var kept [][]byte
		return &careless{Handler: h, opened: func() {
			more := slices.Repeat([]byte{1}, mib/2)
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, more)
		}}
	}},
	"blocks": {handler: func(h tandem.Handler) tandem.Handler {
		return &careless{Handler: h, came: func(*tandem.Stream) { time.Sleep(100 * time.Millisecond) }}
	}},
	"panics": {handler: func(h tandem.Handler) tandem.Handler {
		return &careless{Handler: h, came: func(*tandem.Stream) { panic("a fault that was asked for") }}
	}},
	"spins": {start: func(t tandem.Transport) { spin(t.Loop(0)) }},
}

func findFault(name string) (fault, error) {
	f, ok := faults[name]
	if !ok {
		return fault{}, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(faults)), " "))
	}
	return f, nil
}

// spin posts to a loop again whenever it has run: the loop turns as fast as it can, until it ends.
func spin(l tandem.Loop) { _ = l.Post(func() { spin(l) }) }

// careless is a Handler with something in front of its callbacks.
type careless struct {
	tandem.Handler
	opened func()
	came   func(s *tandem.Stream)
}

// OnOpen implements tandem.Handler.
func (c *careless) OnOpen(s *tandem.Stream) {
	if c.opened != nil {
		c.opened()
	}
	c.Handler.OnOpen(s)
}

// OnData implements tandem.Handler.
func (c *careless) OnData(s *tandem.Stream) {
	if c.came != nil {
		c.came(s)
	}
	c.Handler.OnData(s)
}
