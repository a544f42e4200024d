//go:build linux

package ring

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the kernel finds by an address is in the heap, and not on a stack, which moves: the compiler says so.
func TestKernelSeesNoStack(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("SKIPPED, NOTHING WAS TESTED: there is no go command")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", ".", "../../backend").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, want := range []string{
		`ring_linux\.go:.*: &Ring{\.\.\.} escapes to heap`,   // timeout and argument of enter
		`waker_linux\.go:.*: &Waker{\.\.\.} escapes to heap`, // the entry of wake-ups
		`sys_linux\.go:.*: new\(Vector\) escapes to heap`,    // msghdr and iovecs of sends
		`[^_]sqe_linux\.go:[0-9:]+ leaking param: p\n`,       // of PrepSend
		`[^_]sqe_linux\.go:[0-9:]+ leaking param: msg\n`,     // of PrepSendMsg
	} {
		assert.Regexp(t, want, string(out))
	}
}
