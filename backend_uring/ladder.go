package uring

import (
	"slices"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// rung is one step of the ladder: a way to use io_uring.
type rung struct {
	name      string
	flags     uint32   // of io_uring_setup(2)
	noSQArray bool     // try SetupNoSQArray as well. Since Linux 6.6
	multishot bool     // receives continue by themselves, up to a limit. Since Linux 6.17; LimitMultishot
	msgRing   bool     // Wake posts a message to the ring. Since Linux 6.13; ring.Waker
	features  []string // for people
}

const allRungs = ring.SetupClamp | ring.SetupCQSize

// ladder has all rungs, the best first.
var ladder = []rung{
	{ // Since Linux 6.1
		name: "defer", noSQArray: true, multishot: true, msgRing: true,
		flags: allRungs | ring.SetupSubmitAll | ring.SetupSingleIssuer | ring.SetupDeferTaskrun |
			ring.SetupTaskrunFlag | ring.SetupRDisabled,
		features: []string{"DEFER_TASKRUN", "buffer ring"},
	},
	{ // Since Linux 5.19
		name: "coop", multishot: true,
		flags:    allRungs | ring.SetupSubmitAll | ring.SetupCoopTaskrun | ring.SetupTaskrunFlag,
		features: []string{"COOP_TASKRUN", "buffer ring"},
	},
	{name: "plain", multishot: true, flags: allRungs, features: []string{"buffer ring"}}, // Since Linux 5.19
	{name: "oneshot", flags: allRungs, features: []string{"buffer ring"}},                // Since Linux 5.19
}

// rungNames are the names in the ladder, the best first.
func rungNames() []string {
	names := make([]string, len(ladder))
	for i, r := range ladder {
		names[i] = r.name
	}
	return names
}

// findRung returns the rung with that name; the best one if the name is empty.
func findRung(name string) (rung, bool) {
	if name == "" {
		return ladder[0], true
	}
	i := slices.IndexFunc(ladder, func(r rung) bool { return r.name == name })
	if i < 0 {
		return rung{}, false
	}
	return ladder[i], true
}
