//go:build linux

package servers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
)

// readBuffer is the size of the receive buffer of every server that allows a choice: 64 KiB.
const readBuffer = 64 << 10

// tlsBuffer is that of servers over TLS: a read returns one record at most, which has up to 16 KiB.
const tlsBuffer = 16 << 10

// checkMode returns an error for a mode that does not exist or that the implementation does not have.
func (im Implementation) checkMode(mode string) error {
	switch {
	case slices.Contains(im.Modes, mode):
		return nil
	case im.Lacks[mode] != "":
		return fmt.Errorf("%s has no mode %s: %s", im.Name, mode, im.Lacks[mode])
	case slices.Contains(workload.Modes, mode):
		return fmt.Errorf("%s has no mode %s: it has %s", im.Name, mode, strings.Join(im.Modes, ", "))
	}
	return fmt.Errorf("unknown mode %q for %s: choose one of %s", mode, im.Name, strings.Join(im.Modes, ", "))
}

// Check validates a command line before anything is opened.
func Check(name string, config Config) (Implementation, error) {
	im, err := Find(name)
	if err != nil {
		return im, err
	}
	if err := im.checkMode(config.Mode); err != nil {
		return im, err
	}
	if _, err := sockets.Resolve(config.Addr); err != nil {
		return im, err
	}
	if config.Loops < 0 {
		return im, fmt.Errorf("bad --loops %d: want 0 or more", config.Loops)
	}
	if config.Loops > 1 && !im.Loops {
		return im, fmt.Errorf("%s cannot have %d loops: omit --loops or set it to 1", name, config.Loops)
	}
	if config.Spin < 0 {
		return im, fmt.Errorf("bad --spin %v: want 0 or more", config.Spin)
	}
	if config.Spin > 0 && !im.Spins {
		return im, fmt.Errorf("%s cannot poll before it sleeps: omit --spin", name)
	}
	if config.Work < 0 {
		return im, fmt.Errorf("bad --work %v: want 0 or more", config.Work)
	}
	if config.Work > 0 && config.Mode != workload.ModeEcho && config.Mode != workload.ModeFrameEcho {
		return im, fmt.Errorf("--work has no effect in mode %s: only echo and frame-echo support it", config.Mode)
	}
	return im, nil
}
