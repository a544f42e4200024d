//go:build linux

package control

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/results"
)

var kept [][]byte // keeps what a test allocates on the heap

func TestAServerTellsItsCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	var calls atomic.Int64
	calls.Store(5)
	require.NoError(t, Serve(path, calls.Load))
	before, err := Ask(path)
	require.NoError(t, err)
	const objects = 100_000
	for range objects {
		kept = append(kept, make([]byte, 100))
	}
	kept = nil
	runtime.GC()
	calls.Store(12)
	after, err := Ask(path)
	require.NoError(t, err)
	got := after.Minus(before)
	assert.GreaterOrEqual(t, got.Mallocs, int64(objects))
	assert.LessOrEqual(t, got.Mallocs, int64(objects*11/10))
	assert.Positive(t, got.GCs)
	assert.Positive(t, got.GCPause)
	assert.Equal(t, int64(7), got.Syscalls)
	var s results.Sample
	got.Fill(&s)
	assert.Equal(t, results.Sample{Mallocs: got.Mallocs, GCs: got.GCs, GCPause: got.GCPause, Syscalls: 7}, s)
	s.Syscalls = 99 // counted by the kernel
	got.Fill(&s)
	assert.Equal(t, int64(99), s.Syscalls, "the kernel's count stays")
}

func TestAServerCollectsItsGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	require.NoError(t, Serve(path, nil))
	before, err := Ask(path)
	require.NoError(t, err)
	same, err := Ask(path)
	require.NoError(t, err)
	assert.Zero(t, same.Minus(before).GCs, "asking collects nothing")
	after, err := Collect(path)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.Minus(before).GCs, int64(2))
}

func TestAskingAServerThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	_, err := Ask(path)
	assert.ErrorContains(t, err, path)
}

func TestControlSockets(t *testing.T) {
	var c Sockets
	require.NoError(t, c.Open())
	first, second := c.Next(), c.Next()
	assert.NotEqual(t, first, second)
	assert.LessOrEqual(t, len(first), longestSocketPath)
	c.Close()
	assert.NoDirExists(t, c.dir)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), strings.Repeat("x", 100)))
	require.NoError(t, os.MkdirAll(os.Getenv("TMPDIR"), 0o700))
	var long Sockets
	assert.ErrorContains(t, long.Open(), "TMPDIR")
	assert.Empty(t, long.Next())
}
