//go:build linux

package control

import (
	"fmt"
	"os"
	"path/filepath"
)

// Sockets chooses names for the sockets on which servers report their counts.
type Sockets struct {
	dir   string // "": there is none, and servers report no counts
	count int
}

// longestSocketPath is how long a name may be. unix(7): 108 bytes, and one for the 0 at the end.
const longestSocketPath = 107

// Open creates the directory of the sockets.
func (c *Sockets) Open() error {
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

// Next returns a new name, or "" if there is no directory.
func (c *Sockets) Next() string {
	if c.dir == "" {
		return ""
	}
	c.count++
	return filepath.Join(c.dir, fmt.Sprintf("control-%d", c.count))
}

// Close removes the directory.
func (c *Sockets) Close() {
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}
