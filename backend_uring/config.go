package uring

import (
	"fmt"
	"strings"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Config says how a driver runs. Its zero value is valid.
type Config struct {
	Entries           int // of the submission queue, 1 to 32768; default 1024
	CompletionEntries int // of the completion queue, 2 to 65536 and more than Entries; default 8 times Entries
	Buffers           int // receive buffers to begin with, 1 to 4096; grows to eight times that. Default 128
	BufferSize        int // bytes of each, 1 to 1 MiB; default 16 KiB
	Sockets           int // room for so many from the start

	// Outlived says that another goroutine may close the driver while the thread that runs it lives on. Then the ring's
	// descriptor is not registered with the thread: the thread would hold the closed ring, and all sockets with requests
	// in flight, for as long as it lives. Each io_uring_enter looks the descriptor up instead.
	Outlived bool

	// OwnCPU says that the loop has a CPU to itself: then it never sleeps in Go's poller.
	OwnCPU bool

	// What follows are knobs for tests, which make a driver work as on an older kernel.

	Rung    string // of the ladder; default "": the best that works
	EventFD bool   // wake by an eventfd also where the kernel has better

	// RingSends says that every send goes through the ring.
	RingSends bool

	// Kernel carries out the calls of the rings; nil: the machine's. Package ringtest has one for tests.
	Kernel ring.Kernel

	oneshot bool // the kernel cannot bound a multishot receive
	reduced bool // the queues are smaller than was asked for
}

const (
	defaultEntries    = 1024
	defaultBuffers    = 128
	defaultBufferSize = 16 << 10
	growth            = 8 // how many times Buffers there may be
)

// Check names the first field that cannot be honoured.
func (c Config) Check() error {
	for _, f := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"Entries", c.Entries, 1, 32768},
		{"CompletionEntries", c.CompletionEntries, 2, 65536},
		{"Buffers", c.Buffers, 1, 4096},
		{"BufferSize", c.BufferSize, 1, 1 << 20},
	} {
		if f.value != 0 && (f.value < f.least || f.value > f.most) {
			return fmt.Errorf("%s is %d; it must be between %d and %d, or 0 for the default", f.name, f.value, f.least, f.most)
		}
	}
	d := c.withDefaults()
	if d.CompletionEntries < d.Entries {
		return fmt.Errorf("CompletionEntries is %d; it must be at least Entries, %d", d.CompletionEntries, d.Entries)
	}
	if _, ok := findRung(c.Rung); !ok {
		return fmt.Errorf("%s is %q; it must be one of %s, or empty for the best", "Rung", c.Rung, strings.Join(rungNames(), ", "))
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Entries == 0 {
		c.Entries = defaultEntries
	}
	if c.CompletionEntries == 0 {
		c.CompletionEntries = min(8*c.Entries, 65536)
	}
	if c.Buffers == 0 {
		c.Buffers = defaultBuffers
	}
	if c.BufferSize == 0 {
		c.BufferSize = defaultBufferSize
	}
	return c
}
