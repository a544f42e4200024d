//go:build linux

package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWakerEndsWait(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		w := wakerOf(t, r, 0xfeed, 7)
		tid := unix.Gettid()
		for range 20 {
			woken := make(chan error, 1)
			go func() {
				awaitSleep(tid)
				woken <- w.Wake()
			}()
			require.Equal(t, CQE{UserData: 0xfeed, Res: 7}, completion(t, r))
			require.NoError(t, <-woken)
		}
	})
}

func TestWakerFromManyGoroutines(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		w := wakerOf(t, r, 1, 0)
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if !assert.NoError(t, w.Wake()) {
						return
					}
				}
			})
		}
		completions(t, r, 8*50)
	})
}

func TestWakerErrors(t *testing.T) {
	a, _ := socketPair(t)
	for name, fd := range map[string]int{"no descriptor": -1, "a socket": a} {
		assert.Error(t, NewWaker(fd, 0, 0).Wake(), name)
	}
}

// wakerOf makes a Waker, or skips the test where the kernel has none.
func wakerOf(t *testing.T, r *Ring, userData uint64, res uint32) *Waker {
	t.Helper()
	w := NewWaker(r.FD(), userData, res)
	err := w.Wake()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF) {
		t.Skip("needs Linux 6.13:", err)
	}
	require.NoError(t, err)
	completion(t, r)
	return w
}

// awaitSleep returns when the thread sleeps in the kernel, or after a while in any case.
func awaitSleep(tid int) {
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
		if _, state, ok := strings.Cut(string(stat), ") "); err != nil || ok && state[0] == 'S' {
			return
		}
		runtime.Gosched()
	}
}
