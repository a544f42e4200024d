package uring

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// rung is one step of the ladder.
type rung struct {
	name      string
	flags     uint32 // of io_uring_setup(2)
	multishot bool   // receives go on by themselves, up to a limit. Since Linux 6.17; LimitMultishot
	msgRing   bool   // can be woken without a ring of the sender's. Since Linux 6.13
	features  []string
}

const allRungs = ring.SetupClamp | ring.SetupCQSize

// ladder has the rungs by name. NO_SQARRAY is tried on top of the first.
var ladder = map[string]rung{
	"defer": {
		name: "defer", multishot: true,
		flags:    allRungs | ring.SetupSubmitAll | ring.SetupSingleIssuer | ring.SetupDeferTaskrun | ring.SetupTaskrunFlag | ring.SetupRDisabled,
		features: []string{"DEFER_TASKRUN", "buffer ring"},
	},
	"coop": {
		name: "coop", multishot: true,
		flags:    allRungs | ring.SetupSubmitAll | ring.SetupCoopTaskrun | ring.SetupTaskrunFlag,
		features: []string{"COOP_TASKRUN", "buffer ring"},
	},
	"plain":   {name: "plain", multishot: true, flags: allRungs, features: []string{"buffer ring"}},
	"oneshot": {name: "oneshot", flags: allRungs, features: []string{"buffer ring"}},
}

// setUp makes a ring on the rung that c names, the best if it names none.
func setUp(c Config) (*ring.Ring, rung, error) {
	name := c.Rung
	if name == "" {
		name = rungs[0]
	}
	step, ok := ladder[name]
	if !ok {
		return nil, rung{}, fmt.Errorf("uring: no rung %q", name)
	}
	step.multishot = step.multishot && !c.oneshot
	entries, completions := uint32(c.Entries), uint32(c.CompletionEntries)
	if name == "defer" {
		if r, err := ring.New(entries, completions, step.flags|ring.SetupNoSQArray); err == nil { // Since Linux 6.6
			step.features = append([]string{"NO_SQARRAY"}, step.features...)
			step.msgRing = haveMsgRing()
			return r, step, nil
		}
	}
	r, err := ring.New(entries, completions, step.flags)
	if err != nil {
		return nil, rung{}, err
	}
	step.msgRing = name == "defer" && haveMsgRing()
	return r, step, nil
}

// haveMsgRing asks the kernel for SEND_MSG_RING in a way that cannot succeed: a kernel that knows the operation finds
// fault with the ring it is to be sent to, one that does not with the operation.
func haveMsgRing() bool {
	return errors.Is(ring.NewWaker(-1, opWake, 0).Wake(), syscall.EBADF)
}
