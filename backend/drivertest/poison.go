package drivertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// Patience is how long a test waits for an event.
const Patience = 10 * time.Second

// Poisoned reports whether memory that is given back is poisoned. Where it is not it runs the test again, in a process
// of its own in which it is, and the test fails if that one does.
func Poisoned(t *testing.T) bool {
	t.Helper()
	if backend.Poisoning() {
		return true
	}
	out, err := again(t, "TANDEM_POISON=1")
	require.NoError(t, err, "with poisoning:\n%s", out)
	require.Contains(t, out, "=== RUN   "+t.Name()+"\n", "the test has not run")
	if strings.Contains(out, "--- SKIP") {
		t.Skipf("with poisoning:\n%s", out)
	}
	return false
}

// Misuses runs misuse in a process of its own in which memory is poisoned, and which misuse has to end, with an error
// that contains want.
func Misuses(t *testing.T, want string, misuse func()) {
	t.Helper()
	const inside = "TANDEM_MISUSE"
	if os.Getenv(inside) != "" {
		misuse()
		return
	}
	out, err := again(t, "TANDEM_POISON=1", inside+"=1")
	if strings.Contains(out, "--- SKIP") {
		t.Skip(out)
	}
	require.Error(t, err, "nobody noticed:\n%s", out)
	assert.Contains(t, out, "panic: backend: "+want)
}

// again runs a test in a process of its own, and returns what that printed.
func again(t *testing.T, env ...string) (string, error) {
	t.Helper()
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*Patience)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.v", "-test.count=1")
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// IsPoison reports whether p, which is not empty, is poisoned from its first byte to its last.
func IsPoison(p []byte) bool {
	return len(p) > 0 && bytes.Count(p, []byte{backend.PoisonByte}) == len(p)
}
