package backend

import (
	"bytes"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// Poisoning finds memory that is used after its time. It is for tests: the environment variable TANDEM_POISON=1 switches
// it on when the program starts.
//
//	memory is given back ─► filled with PoisonByte ─► taken again: is every byte still poison?
//	         │                                             │
//	         └─ a second time: the program ends            └─ no: somebody wrote to it, and the program ends
//
// Whoever reads memory after its loan, or after it was given back, sees PoisonByte. Without the variable each of these
// places costs a branch that is always predicted.

// PoisonByte is what memory holds that was given back.
const PoisonByte = 0xDB

var poisoning = os.Getenv("TANDEM_POISON") == "1"

// poisoned is memory that holds nothing but poison.
var poisoned = func() []byte {
	if !poisoning {
		return nil
	}
	return bytes.Repeat([]byte{PoisonByte}, 64<<10)
}()

// Poisoning reports whether memory that is given back is poisoned.
func Poisoning() bool { return poisoning }

// Poison fills p, whose time is over, if poisoning is on.
func Poison(p []byte) {
	if poisoning {
		fill(p)
	}
}

func fill(p []byte) {
	for len(p) > 0 {
		p = p[copy(p, poisoned):]
	}
}

// CheckPoison ends the program if p, which nobody may have written to since it was poisoned, holds anything else.
// The word whose names the memory. Without poisoning it does nothing.
func CheckPoison(p []byte, whose string) {
	if !poisoning {
		return
	}
	for len(p) > 0 {
		n := min(len(p), len(poisoned))
		if !bytes.Equal(p[:n], poisoned[:n]) {
			Misused(whose + " was written to after it was given back")
		}
		p = p[n:]
	}
}

// GiveBackOnce returns release, which gives memory back. With poisoning, the program ends if it is called twice.
func GiveBackOnce(release func(), whose string) func() {
	if !poisoning {
		return release
	}
	var gone atomic.Bool
	return func() {
		if gone.Swap(true) {
			Misused(whose + " was given back twice")
		}
		release()
	}
}

// Misused ends the program because of how memory was used. A panic of the caller's would not do: a stream recovers from
// those of its callbacks.
func Misused(what string) {
	go panic("backend: " + what + "\n\n" + string(debug.Stack()))
	select {}
}
