package uring

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// setUp makes a ring on the rung that c names, on the best one if it names none. It returns the rung as it is in use.
func setUp(c Config) (*ring.Ring, rung, error) {
	step, ok := findRung(c.Rung)
	if !ok {
		return nil, rung{}, fmt.Errorf("uring: no rung %q", c.Rung)
	}
	step.multishot = step.multishot && !c.oneshot
	entries, completions := uint32(c.Entries), uint32(c.CompletionEntries)
	step.msgRing = step.msgRing && haveMsgRing(c.Kernel)
	if step.noSQArray {
		if r, err := ring.NewOn(c.Kernel, entries, completions, step.flags|ring.SetupNoSQArray); err == nil {
			step.features = append([]string{"NO_SQARRAY"}, step.features...)
			return r, step, nil
		}
	}
	r, err := ring.NewOn(c.Kernel, entries, completions, step.flags)
	return r, step, err
}

// haveMsgRing asks the kernel for SEND_MSG_RING in a way that cannot succeed: a kernel that knows the operation rejects
// the ring that it names, an older one rejects the operation. Since Linux 6.13.
func haveMsgRing(k ring.Kernel) bool {
	return errors.Is(ring.NewWakerOn(k, -1, opWake, 0).Wake(), syscall.EBADF)
}
