package simulated_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// TestNotifyLosesNothing has the owner of a session look only when it was told, some steps later, on kernels that are
// rough in many ways: everything comes back, and the end is told, too.
func TestNotifyLosesNothing(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubbles(t, func(t *testing.T, completions bool) {
				w, _ := stepped(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()}, 1)
				o := session.StreamOptions{HighWater: 5000, LowWater: 2500, ReadBufferLimit: 20_000}
				at := w.serve(&echo{}, &session.ListenOptions{StreamOptions: o})
				s, err := polled.Connect(w.e, "tcp", at, &session.DialOptions{StreamOptions: o})
				require.NoError(t, err)
				var calls atomic.Int64
				require.NoError(t, s.Notify(func() { calls.Add(1) }))
				message := bytes.Repeat([]byte("0123456789abcdef"), 3_000)
				own := &told{s: s, rest: message}
				own.look(t)
				r, seen, wait := rand.New(rand.NewPCG(seed, 3)), int64(0), -1
				w.steps("the end", func() bool {
					now := calls.Load()
					require.LessOrEqual(t, now, seen+1, "calls, and the owner has not looked")
					switch {
					case wait > 0:
						wait--
					case wait == 0:
						wait, seen = -1, now
						own.look(t)
					case now > seen:
						wait = r.IntN(20)
					}
					return own.end != nil
				})
				require.Equal(t, io.EOF, own.end)
				require.True(t, bytes.Equal(message, own.got))
				require.NoError(t, s.Close())
				w.endStepped()
			})
		})
	}
}

// told is the owner of a session that sends, and finishes, and reads.
type told struct {
	s        *polled.StreamSession
	rest     []byte
	got      []byte
	finished bool
	end      error
}

// look does what can be done now.
func (o *told) look(t *testing.T) {
	t.Helper()
	for more := true; more; {
		a, err := o.s.Drive()
		require.NoError(t, err)
		p, status, err := o.s.Read()
		if o.end = err; err != nil {
			return
		}
		o.got = append(o.got, p...)
		more = a == polled.Active || status != polled.None
		if len(o.rest) > 0 {
			before := len(o.rest)
			rest, _, err := o.s.Write(o.rest)
			require.NoError(t, err)
			o.rest = rest
			more = more || len(rest) < before
		} else if !o.finished {
			require.NoError(t, o.s.CloseWrite())
			o.finished = true
		}
	}
}
