//go:build linux

package main

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// blow is the weather: what happens to the process as a whole, until the run ends.
func (s *soak) blow(r *rand.Rand) {
	go s.signals(rand.New(rand.NewPCG(r.Uint64(), 5)))
	go s.shortage(rand.New(rand.NewPCG(r.Uint64(), 6)))
	go func() {
		for !s.calmed.Load() {
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
			s.count(faults, "forced GC")
			runtime.GC()
			debug.SetGCPercent(10 + r.IntN(200))
		}
	}()
}

// calm ends the weather, and removes what the run has made but its page.
func (s *soak) calm() {
	s.calmed.Store(true)
	_ = os.RemoveAll(s.dir)
}

// signals sends some hundred a second, as the Go runtime does itself to preempt goroutines.
func (s *soak) signals(r *rand.Rand) {
	pid := unix.Getpid()
	for !s.calmed.Load() {
		time.Sleep(time.Duration(1+r.IntN(6)) * time.Millisecond)
		if unix.Kill(pid, unix.SIGURG) == nil {
			s.count(faults, "signals")
		}
	}
}

// shortage leaves the process without descriptors for moments. A life does not begin or end meanwhile.
func (s *soak) shortage(r *rand.Rand) {
	for !s.calmed.Load() {
		time.Sleep(time.Duration(500+r.IntN(3000)) * time.Millisecond)
		s.weather.Lock()
		if s.now.Load() != nil {
			s.lack(r)
		}
		s.weather.Unlock()
	}
}

func (s *soak) lack(r *rand.Rand) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		return
	}
	free, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0) // the lowest that is free
	if err != nil {
		return
	}
	_ = unix.Close(free)
	s.shortages.Add(1)
	s.count(faults, "shortages of descriptors")
	short := unix.Rlimit{Cur: uint64(free + r.IntN(6)), Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
		s.failf("setrlimit: %v", err)
	}
	time.Sleep(time.Duration(10+r.IntN(200)) * time.Millisecond)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		s.failf("setrlimit: %v", err)
	}
	s.shortages.Add(1)
}
