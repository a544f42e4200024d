package tandem_test

import (
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestNothingIsMissedByALoopThatSleepsOften has a loop sleep many times in a millisecond, on the only processor, so that
// it changes between its ways to sleep, and has others post to it and send to its streams all the while.
func TestNothingIsMissedByALoopThatSleepsOften(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		before := runtime.GOMAXPROCS(1)
		defer runtime.GOMAXPROCS(before)
		tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		defer tr.Close()
		l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
		require.NoError(t, err)
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		ticks := 0
		_, err = tr.Loop(0).Every(50*time.Microsecond, func() { ticks++ })
		require.NoError(t, err)
		sleeps := tr.Stats().Loops[0].Sleeps
		const patience = 10 * time.Second
		for i := range 200 {
			time.Sleep(time.Duration(i%7) * time.Millisecond) // the loop is alone meanwhile
			ran := make(chan struct{})
			require.NoError(t, tr.Loop(0).Post(func() { close(ran) }))
			select {
			case <-ran:
			case <-time.After(patience):
				require.FailNow(t, "a function that was posted has not run")
			}
			if i%2 == 0 {
				continue
			}
			require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, err, "an echo")
		}
		assert.Greater(t, tr.Stats().Loops[0].Sleeps-sleeps, uint64(100), "the loop was to sleep often")
	})
}

// TestTimersOfOthersBesideLoopsThatSleepOften has a goroutine sleep beside one loop, and a processor to spare, and beside as many
// loops as there are processors: they must not keep its timer from firing, which belongs to the processor where it was started.
func TestTimersOfOthersBesideLoopsThatSleepOften(t *testing.T) {
	backends(t, func(t *testing.T, backend tandem.Backend) {
		for _, loops := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d of 2", loops), func(t *testing.T) { timersOfOthers(t, backend, loops) })
		}
	})
}

func timersOfOthers(t *testing.T, backend tandem.Backend, loops int) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: loops, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer tr.Close()
	l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	for range loops {
		// Another process exchanges messages with the loop, one at a time, and has nothing to do with Go's scheduler here.
		peer := exec.Command(program(t, "bash", "bash"), "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port+
			"; while printf x >&3 && read -r -N1 -u3 _; do for ((i = 0; i < 30; i++)); do :; done; done")
		require.NoError(t, peer.Start())
		defer func() { _ = peer.Wait() }()
		defer func() { _ = peer.Process.Kill() }()
	}
	var late time.Duration
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		const nap = 11 * time.Millisecond
		asleep := time.Now()
		time.Sleep(nap)
		late = max(late, time.Since(asleep)-nap)
	}
	for _, loop := range tr.Stats().Loops {
		assert.Greater(t, loop.Sleeps, uint64(1000), "the loop was to sleep often")
	}
	t.Logf("at most %v late", late)
	assert.Less(t, late, 500*time.Millisecond, "by how much a sleep was too long")
}
