//go:build linux

package control

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tandem-io/tandem/bench/results"
)

var kept [][]byte // keeps what a test allocates on the heap

func TestAServerTellsItsCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	var calls atomic.Int64
	calls.Store(5)
	if err := Serve(path, calls.Load); err != nil {
		t.Fatal(err)
	}
	before, err := Ask(path)
	if err != nil {
		t.Fatal(err)
	}
	const objects = 100_000
	for range objects {
		kept = append(kept, make([]byte, 100))
	}
	kept = nil
	runtime.GC()
	calls.Store(12)
	after, err := Ask(path)
	if err != nil {
		t.Fatal(err)
	}
	got := after.Minus(before)
	if got.Mallocs < objects || got.Mallocs > objects*11/10 {
		t.Errorf("%d allocations, and %d were made", got.Mallocs, objects)
	}
	if got.GCs < 1 || got.GCPause <= 0 || got.Syscalls != 7 {
		t.Errorf("got %+v, want a collection, a pause, and 7 system calls", got)
	}
	var s results.Sample
	if got.Fill(&s); s.Mallocs != got.Mallocs || s.GCs != got.GCs || s.GCPause != got.GCPause || s.Syscalls != 7 {
		t.Errorf("the sample has %+v", s)
	}
	s.Syscalls = 99 // counted by the kernel
	if got.Fill(&s); s.Syscalls != 99 {
		t.Errorf("the kernel's count became %d", s.Syscalls)
	}
}

func TestAskingAServerThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	if _, err := Ask(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the socket", err)
	}
}

func TestControlSockets(t *testing.T) {
	var c Sockets
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	first, second := c.Next(), c.Next()
	if first == second || len(first) > longestSocketPath {
		t.Errorf("%q and %q", first, second)
	}
	c.Close()
	if _, err := os.Stat(c.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", c.dir, err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), strings.Repeat("x", 100)))
	if err := os.MkdirAll(os.Getenv("TMPDIR"), 0o700); err != nil {
		t.Fatal(err)
	}
	var long Sockets
	if err := long.Open(); err == nil || !strings.Contains(err.Error(), "TMPDIR") || long.Next() != "" {
		t.Errorf("error %v, and a name %q", err, long.Next())
	}
}
