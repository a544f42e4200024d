//go:build linux

package uring

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// fitEnv says that this process is a child that has little locked memory: which case, and so many bytes.
const fitEnv = "TANDEM_FIT"

// TestLockedMemory runs each case in a process of an ordinary user of its own, because locked memory is counted for
// each user, and lets root have as much as it likes.
func TestLockedMemory(t *testing.T) {
	cases := map[string]struct {
		limit uint64
		test  func(*testing.T)
	}{
		"enough":         {1 << 20, enoughMemory},
		"half":           {220 << 10, someMemory},
		"too little":     {64 << 10, tooLittleMemory},
		"comes back":     {500 << 10, memoryComesBack},
		"nothing at all": {0, tooLittleMemory},
	}
	if name := os.Getenv(fitEnv); name != "" {
		becomeOrdinary(t, cases[name].limit)
		cases[name].test(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: it takes root to become another user")
	}
	user := 1_000_000 + os.Getpid()*len(cases)
	for name := range cases {
		user++
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			// The binary of the test is in a directory that only its owner may enter.
			c := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestLockedMemory$")
			c.Env = append(os.Environ(), fitEnv+"="+name, fitEnv+"_USER="+strconv.Itoa(user), "GORACE=atexit_sleep_ms=0")
			out, err := c.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

func becomeOrdinary(t *testing.T, limit uint64) {
	user, err := strconv.Atoi(os.Getenv(fitEnv + "_USER"))
	require.NoError(t, err)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: limit}))
	require.NoError(t, syscall.Setgid(user))
	require.NoError(t, syscall.Setuid(user))
}

// makeAll makes drivers that live as long as the test.
func makeAll(t *testing.T, n int) []*Driver {
	t.Helper()
	made, err := NewAll(Config{}, n)
	require.NoError(t, err)
	var all []*Driver
	for _, d := range made {
		t.Cleanup(func() { _ = d.Close() })
		all = append(all, d.(*Driver))
	}
	return all
}

func enoughMemory(t *testing.T) {
	for _, d := range makeAll(t, 2) {
		entries, _ := d.ring.Entries()
		assert.EqualValues(t, defaultEntries, entries)
		assert.NotContains(t, d.Features(), "short")
	}
}

// someMemory is not enough for two rings of the default size, and is for smaller ones, which work.
func someMemory(t *testing.T) {
	for _, d := range makeAll(t, 2) {
		entries, completions := d.ring.Entries()
		assert.Less(t, entries, uint32(defaultEntries))
		assert.GreaterOrEqual(t, entries, uint32(leastEntries))
		assert.Equal(t, 8*entries, completions)
		assert.Contains(t, d.Features(), "queues of "+strconv.Itoa(int(entries))+" and "+strconv.Itoa(int(completions))+" entries, because locked memory is short")
		done := make(chan struct{})
		go func() {
			defer close(done)
			if !assert.NoError(t, d.Start(new(backend.Counters))) {
				return
			}
			o, peer := attach(t, d)
			drivertest.Send(t, peer, []byte("works"))
			until(t, d, func() bool { return string(o.Got) == "works" })
			release(t, d, o)
			assert.NoError(t, d.Close())
		}()
		<-done
	}
}

func tooLittleMemory(t *testing.T) {
	began := time.Now()
	drivers, err := NewAll(Config{}, 2)
	require.Empty(t, drivers)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, err, unix.ENOMEM)
	var u *backend.UnsupportedError
	require.ErrorAs(t, err, &u)
	for _, part := range []string{"locked memory", "KiB", "ulimit -l", "LimitMEMLOCK", "Entries"} {
		assert.Contains(t, u.Cure, part)
	}
	assert.Less(t, time.Since(began), 6*time.Second)
}

// memoryComesBack opens and closes what takes most of the memory. The kernel returns it late.
func memoryComesBack(t *testing.T) {
	for range 5 {
		drivers, err := NewAll(Config{}, 2)
		require.NoError(t, err)
		for _, d := range drivers {
			entries, _ := d.(*Driver).ring.Entries()
			require.EqualValues(t, defaultEntries, entries, "it did not wait")
			require.NoError(t, d.Close())
		}
	}
}

// Queues are halved, but not below 128 entries.
func TestHalf(t *testing.T) {
	c := Config{}.withDefaults()
	var all [][2]int
	for c.Entries > leastEntries {
		c = c.half()
		require.NoError(t, c.Check())
		all = append(all, [2]int{c.Entries, c.CompletionEntries})
	}
	assert.Equal(t, [][2]int{{512, 4096}, {256, 2048}, {128, 1024}}, all)
}
