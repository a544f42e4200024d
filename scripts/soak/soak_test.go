//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is a peer process if it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv(peerEnv) != "" {
		seed, err := strconv.ParseUint(os.Args[len(os.Args)-1], 10, 64)
		if err != nil {
			os.Exit(2)
		}
		beAPeer(seed)
		return
	}
	os.Exit(m.Run())
}

// TestSoak runs for a moment on each backend, or for TANDEM_SOAK (such as 10m) on each.
func TestSoak(t *testing.T) {
	length := 1500 * time.Millisecond
	if v := os.Getenv("TANDEM_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		require.NoError(t, err, "TANDEM_SOAK")
		length = d
	}
	for _, name := range []string{"epoll", "uring", "uring-tiny"} {
		t.Run(name, func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "page.md")
			s, err := newSoak(name, length, 0, page)
			if errors.Is(err, errors.ErrUnsupported) && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
				t.Skipf("NOT TESTED: %v", err)
			}
			require.NoError(t, err)
			t.Logf("seed %d", s.seed)
			defer s.calm()
			s.exit = func(int) { panic("something has not come: " + s.failures[len(s.failures)-1]) }
			assert.True(t, s.run(), "failures")
			for _, f := range s.failures {
				t.Error(f)
			}
			text, err := os.ReadFile(page)
			require.NoError(t, err)
			assert.Contains(t, string(text), "# Soak: "+name)
			assert.NotZero(t, s.verified.Load(), "bytes verified")
		})
	}
}

// TestWrongBytes has bytes that are wrong, and a message that says from where they are.
func TestWrongBytes(t *testing.T) {
	for _, size := range []int{1, 9, 40} {
		for _, from := range []int{0, 1, 8, 15} {
			p := pattern(42, from, from+size)
			require.NoError(t, verify(p, 42, from))
			for i := range p {
				p[i]++
				require.Error(t, verify(p, 42, from), "byte %d of %d from %d on", i, size, from)
				p[i]--
			}
		}
	}
	assert.ErrorContains(t, verify(pattern(42, 1003, 1100), 42, 1000), "those of position 1003, +3")
	assert.ErrorContains(t, verify(pattern(43, 0, 100), 42, 0), "of no position near")
}

// TestHeader has headers that are whole, and one with a wrong bit at each place.
func TestHeader(t *testing.T) {
	want := header{mode: modeRelay, where: 3, key: 1 << 60, first: 7, then: 8, cut: 9}
	b := want.append(nil)
	got, err := parseHeader(b)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for i := range 6 {
		b[i]++
		_, err := parseHeader(b)
		require.Error(t, err, "byte %d", i)
		b[i]--
	}
}

// TestCounter finds figures where the kernel puts them.
func TestCounter(t *testing.T) {
	const text = "TcpExt: A TCPAbortOnMemory B\nTcpExt: 1 352 3\nIpExt: A B\nIpExt: 7 8\n"
	assert.EqualValues(t, 352, counter(text, "TcpExt:", "TCPAbortOnMemory"))
	assert.EqualValues(t, 8, counter(text, "IpExt:", "B"))
	assert.Zero(t, counter(text, "TcpExt:", "C"))
	assert.Zero(t, counter("", "TcpExt:", "A"))
}

// TestWatchdog waits for something that does not come, and for something that does.
func TestWatchdog(t *testing.T) {
	var hung []string
	w := &watchdog{waiting: map[*waiting]struct{}{}, hang: func(what string, stacks []byte) {
		assert.NotEmpty(t, stacks)
		hung = append(hung, what)
	}}
	came := w.expect("this")
	w.expect("that")
	w.tick()
	came()
	for range bound {
		w.tick()
	}
	require.Len(t, hung, 1)
	assert.Contains(t, hung[0], "that")
}

// TestFailuresAreSeen breaks what a life checks, and looks for the failure.
func TestFailuresAreSeen(t *testing.T) {
	s := &soak{report: nil, began: time.Now(), dir: t.TempDir()}
	s.watch = newWatchdog(func(string, []byte) {})
	l := &life{soak: s}
	e := l.newEnd("half")
	e.opened.Store(1)
	assert.Contains(t, e.broken(), "OnClose 0 times")
	e.OnClose(nil, nil)
	assert.Empty(t, e.broken())
	assert.Empty(t, s.failures)
	e.OnClose(nil, nil)
	e.told.Store(1)
	assert.Contains(t, e.broken(), "OnClose 2 times")
	e = l.newEnd("half")
	e.OnClose(nil, os.ErrDeadlineExceeded)
	e.call("OnData", nil, nil)
	assert.Len(t, s.failures, 5, "OnClose after OnClose, and again; a timeout; OnData after OnClose, and before OnOpen: %q", s.failures)
}
