//go:build linux

package servers

import (
	"time"
)

// burn keeps the CPU busy for d, by the clock. It is what --work adds to a handler, to see whether a comparison finds
// that much.
func burn(d time.Duration) {
	if d <= 0 {
		return
	}
	for began := time.Now(); time.Since(began) < d; {
	}
}
