//go:build linux

package servers

import (
	"time"
)

// burn keeps the CPU busy for d by the clock. It implements --work, which tests whether a comparison detects the added
// time.
func burn(d time.Duration) {
	if d <= 0 {
		return
	}
	for began := time.Now(); time.Since(began) < d; {
	}
}
