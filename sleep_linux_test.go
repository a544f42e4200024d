package tandem_test

import (
	"log/slog"
	"net"
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
