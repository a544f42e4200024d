//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
)

// census counts what the process has.
type census struct {
	goroutines int
	files      map[string]string
	rings      int // mappings of io_uring
	maps       int // all mappings
}

func takeCensus() census {
	c := census{goroutines: runtime.NumGoroutine(), files: map[string]string{}}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, f := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && !strings.HasPrefix(target, "/proc/") {
			c.files[f.Name()] = target
		}
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	c.rings, c.maps = strings.Count(string(maps), "io_uring"), strings.Count(string(maps), "\n")
	return c
}

// startPoller makes Go's own poller, which keeps its descriptors for ever.
func startPoller() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
}

// check looks at what an ended life has left, and whether everything that was promised has come.
func (l *life) check(before census) {
	st := l.t.Stats()
	l.addsUp(st)
	var ours uint64
	for _, e := range l.ends {
		if e.opened.Load() > 0 {
			ours++
		}
		if what := e.broken(); what != "" {
			l.failf("%s", what)
		}
	}
	if ours > st.Opened {
		l.failf("OnOpen of %d streams was called, and Stats say %d", ours, st.Opened)
	}
	l.leaks(before)
}

// addsUp checks the figures of a Transport that has ended.
func (l *life) addsUp(st tandem.Stats) {
	if st.Opened != st.Closed {
		l.failf("Stats: %d streams have opened, %d closed", st.Opened, st.Closed)
	}
	if st.BytesIn != st.BytesDelivered+st.BytesDropped+st.TLSOverhead {
		l.failf("Stats: %d bytes came in, %d were delivered, %d dropped, %d TLS's own", st.BytesIn, st.BytesDelivered, st.BytesDropped, st.TLSOverhead)
	}
	taken := st.BuffersTaken
	if l.driven && errors.Is(l.t.Err(), backend.ErrThread) {
		taken = 0 // the ring was closed with sends in flight: what they send is never used again
	}
	if st.Streams+st.Parked+st.Sockets+st.Requests+taken != 0 {
		l.failf("Stats: %d streams, %d parked, %d sockets, %d requests, %d buffers are left", st.Streams, st.Parked,
			st.Sockets, st.Requests, st.BuffersTaken)
	}
	var sum tandem.LoopStats
	for _, one := range st.Loops {
		sum.Opened += one.Opened
		sum.BytesIn += one.BytesIn
		sum.BytesOut += one.BytesOut
		sum.Turns += one.Turns
		sum.Timers += one.Timers
	}
	if sum.Opened != st.Opened || sum.BytesIn != st.BytesIn || sum.BytesOut != st.BytesOut || sum.Turns != st.Turns || sum.Timers != st.Timers {
		l.failf("Stats: the loops together have %+v, all of them %+v", sum, st.LoopStats)
	}
}

// leaks fails if there is more than there was.
func (l *life) leaks(before census) {
	came := l.watch.expect("goroutines and descriptors as before life %d: %d and %d", l.number, before.goroutines, len(before.files))
	defer came()
	var now census
	for range 3000 {
		now = takeCensus()
		if now.goroutines <= before.goroutines && len(now.files) <= len(before.files) && now.rings <= before.rings {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	var extra []string
	for fd, target := range now.files {
		if before.files[fd] != target {
			extra = append(extra, fd+" -> "+target)
		}
	}
	l.leaked.Add(1)
	l.dump(fmt.Sprintf("leak-%d", l.number), stacks())
	l.failf("left behind: %d goroutines (were %d), %d descriptors (were %d), %d mappings of rings (were %d): %s",
		now.goroutines, before.goroutines, len(now.files), len(before.files), now.rings, before.rings, strings.Join(extra, ", "))
}
