package simulated_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestSpin has a loop look for a while before it sleeps: what comes meanwhile costs no sleep.
func TestSpin(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for _, spin := range []time.Duration{0, 200 * time.Microsecond} {
			w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.Spin = spin })
			h := &echo{}
			p := w.peer(h, nil)
			w.until("OnOpen", func() bool { return h.opened == 1 })
			sleeps := w.e.Stats().Sleeps
			for n := range 20 {
				p.Send([]byte("x"))
				w.until("an answer", func() bool { return w.e.Stats().BytesOut == uint64(n)+1 })
				w.k.Advance(time.Millisecond)
				require.Equal(t, n+1, p.Count())
			}
			if spin > 0 {
				require.Equal(t, sleeps, w.e.Stats().Sleeps)
			} else {
				require.Greater(t, w.e.Stats().Sleeps, sleeps)
			}
			// Nothing comes: it sleeps, as long as it was asked to in all.
			begin, polls := w.k.Now(), w.e.Stats().Polls
			_, err := w.e.Poll(10 * time.Millisecond)
			require.NoError(t, err)
			require.InDelta(t, 10*time.Millisecond, w.k.Now()-begin, float64(50*time.Microsecond))
			require.Greater(t, w.e.Stats().Sleeps, sleeps)
			require.Equal(t, spin > 0, w.e.Stats().Polls-polls > 100)
			// The sleep would be over before the spin is.
			begin, sleeps = w.k.Now(), w.e.Stats().Sleeps
			_, err = w.e.Poll(100 * time.Microsecond)
			require.NoError(t, err)
			require.InDelta(t, 100*time.Microsecond, w.k.Now()-begin, float64(20*time.Microsecond))
			require.Equal(t, spin > 0, w.e.Stats().Sleeps == sleeps)
			// A timer comes in time.
			fired := false
			s := h.s
			s.After(150*time.Microsecond, func() { fired = true })
			begin = w.k.Now()
			w.until("a timer", func() bool { return fired })
			require.Less(t, w.k.Now()-begin, 200*time.Microsecond)
			w.end()
		}
	})
}

// TestLoopsAreMadeOrNone has the third driver fail: those before it are closed.
func TestLoopsAreMadeOrNone(t *testing.T) {
	for _, completions := range []bool{false, true} {
		k := simulated.New(simulated.Config{})
		var made []simulated.Driver
		_, err := backend.MakeDrivers(3, func() (backend.Driver, error) {
			if len(made) == 2 {
				return nil, errOnPurpose
			}
			made = append(made, k.NewDriver(completions))
			return made[len(made)-1], nil
		})
		require.ErrorIs(t, err, errOnPurpose)
		for _, d := range made {
			_, err := d.Poll(0)
			require.ErrorContains(t, err, "after Close")
		}
	}
}
