//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// controlSockets makes names for the sockets on which servers tell their counts.
type controlSockets struct {
	dir   string // "": there is none, so servers are measured without
	count int
}

// longestSocketPath is how long a name may be. unix(7): 108 bytes, and one for the 0 at the end.
const longestSocketPath = 107

func (c *controlSockets) open() error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	if len(dir)+len("/control-1000000") > longestSocketPath {
		_ = os.Remove(dir)
		return fmt.Errorf("%s is too long for the name of a Unix socket; set TMPDIR", dir)
	}
	c.dir = dir
	return nil
}

// next is a name that was not there yet, or "".
func (c *controlSockets) next() string {
	if c.dir == "" {
		return ""
	}
	c.count++
	return filepath.Join(c.dir, fmt.Sprintf("control-%d", c.count))
}

func (c *controlSockets) close() {
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}
