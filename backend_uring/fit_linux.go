package uring

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// The memory of rings counts against RLIMIT_MEMLOCK, which all processes of a user share, unless the process has
// CAP_IPC_LOCK. The kernel returns it up to a second after a ring was closed, so a service that restarts competes with
// itself. Large queues also need contiguous memory.

const (
	leastEntries = 128         // queues are not made smaller than that
	lateMemory   = time.Second // how long to wait for memory that the kernel returns late
)

// NewAll makes n drivers, after a round trip over a socketpair. If memory for their rings is short it waits up to a
// second, and then makes all queues smaller, down to 128 entries. If the kernel does not allow io_uring, or has no
// memory for it, the error is a *backend.UnsupportedError.
func NewAll(c Config, n int) ([]backend.Driver, error) {
	f := fitting{n: n}
	c = c.withDefaults()
	probed, err := Probe(c)
	for fits(c.tiny(), 1) && f.wait(err) {
		probed, err = Probe(c)
	}
	if err != nil {
		return nil, err
	}
	c = probed
	for {
		drivers, err := f.try(c)
		if err == nil || !errors.Is(err, syscall.ENOMEM) {
			return drivers, err
		}
		if c.Entries <= leastEntries {
			cause := fmt.Errorf("%d rings of %d and %d entries: %w", n, c.Entries, c.CompletionEntries, err)
			return nil, &backend.UnsupportedError{Backend: "uring", Cause: cause, Cure: memoryCure(c, n)}
		}
		c = c.half()
	}
}

// half is c with queues of half the size.
func (c Config) half() Config {
	c.Entries = max(c.Entries/2, leastEntries)
	c.CompletionEntries = max(c.CompletionEntries/2, c.Entries)
	c.reduced = true
	return c
}

// fitting tries to make n drivers.
type fitting struct {
	n     int
	until time.Time // the end of waiting for memory that the kernel returns late
	pause time.Duration
}

// try makes n drivers, or none.
func (f *fitting) try(c Config) ([]backend.Driver, error) {
	some := false
	drivers, err := backend.MakeDrivers(f.n, func() (backend.Driver, error) {
		d, err := New(c)
		for err != nil && fits(c, f.n) && f.wait(err) {
			d, err = New(c)
		}
		some = some || err == nil
		return d, err
	})
	if err != nil && some {
		f.until = time.Time{} // the memory of these comes back late, too
	}
	return drivers, err
}

// wait sleeps for a while and reports whether to try again after err.
func (f *fitting) wait(err error) bool {
	if !errors.Is(err, syscall.ENOMEM) {
		return false
	}
	if f.until.IsZero() {
		f.until, f.pause = time.Now().Add(lateMemory), time.Millisecond
	}
	left := time.Until(f.until)
	if left <= 0 {
		return false
	}
	time.Sleep(min(f.pause, left))
	f.pause = min(2*f.pause, 50*time.Millisecond)
	return true
}

// fits reports whether the limit allows the memory of n rings, if nothing else uses it.
func fits(c Config, n int) bool {
	limit := lockLimit()
	return limit == unix.RLIM_INFINITY || uint64(n)*lockedMemory(c) <= limit
}

// lockedMemory is roughly what one ring of c locks: the entries of both queues, and the ring of buffers.
func lockedMemory(c Config) uint64 {
	pages := func(n int) uint64 { return uint64((n + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize()) }
	return pages(c.Entries*64) + pages(c.CompletionEntries*16) + pages(c.Buffers*growth*16)
}

func lockLimit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil {
		return unix.RLIM_INFINITY
	}
	return limit.Cur
}

// memoryCure says what an operator can do if there is no memory for n rings.
func memoryCure(c Config, n int) string {
	limit := "unlimited, so the machine is short of memory, or has none in one piece"
	if l := lockLimit(); l != unix.RLIM_INFINITY {
		limit = fmt.Sprintf("%d KiB, which all processes of the user share", l>>10)
	}
	return fmt.Sprintf("the rings of %d loops lock about %d KiB, and locked memory is limited to %s; raise the limit (ulimit -l, LimitMEMLOCK= of systemd, CAP_IPC_LOCK), or use fewer loops, Entries or Buffers",
		n, (uint64(n)*lockedMemory(c)+1023)>>10, limit)
}
