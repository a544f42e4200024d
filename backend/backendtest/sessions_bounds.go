package backendtest

import (
	"bytes"
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// The rest of the rules on sessions: many of them, and what they cost.

// sessionsAccept polls a listener before, with and after connections.
func sessionsAccept(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, err := polled.Listen(t, e.Network, e.Address(), nil)
		require.NoError(e, err, "listen")
		for range 3 {
			s, ok, err := a.Accept()
			require.Nil(e, s, "Accept although nobody waits: %v, %v, %v", s, ok, err)
			require.False(e, ok, "Accept although nobody waits: %v, %v, %v", s, ok, err)
			require.NoError(e, err, "Accept although nobody waits: %v, %v", s, ok)
		}
		var dialled []driver
		for range 5 {
			s, err := polled.Connect(t, e.Network, a.Addr().String(), nil)
			require.NoError(e, err, "connect")
			dialled = append(dialled, s)
		}
		var accepted []*polled.StreamSession
		e.duty("three sessions", func() bool {
			s, ok, err := a.Accept()
			require.NoError(e, err, "accept")
			if ok {
				accepted = append(accepted, s)
			}
			return len(accepted) == 3
		}, dialled...)
		for _, s := range accepted {
			assert.Equal(e, polled.Established, s.Status(), "an accepted session is")
		}
		e.duty("all are there", func() bool { return a.Stats().Streams == 5 }, dialled...)
		require.NoError(e, a.Close(), "close")
		require.NoError(e, a.Close(), "close again")
		_, ok, err := a.Accept()
		assert.False(e, ok, "Accept after Close: %v, %v", ok, err)
		assert.ErrorIs(e, err, net.ErrClosed, "Accept after Close: %v", ok)
		for deadline := time.Now().Add(patience); a.Stats().Streams != 3; time.Sleep(20 * time.Microsecond) {
			_, _ = accepted[0].Drive()
			require.False(e, time.Now().After(deadline), "too many streams after Close: %d", a.Stats().Streams)
		}
		for _, s := range accepted {
			require.NoError(e, s.Close(), "close")
		}
		for _, s := range dialled {
			require.NoError(e, s.(*polled.StreamSession).Close(), "close")
		}
	})
}

// sessionsShare has many sessions on one Transport, and counts how often a duty cycle polls it.
func sessionsShare(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	var all []driver
	for range 10 {
		a, b := e.sessions(t)
		all = append(all, a, b)
	}
	for range 20 { // until nothing is left to do
		for _, s := range all {
			_, err := s.Drive()
			require.NoError(e, err, "drive")
		}
	}
	before := t.Stats().Turns
	const cycles = 50
	for range cycles {
		for _, s := range all {
			_, err := s.Drive()
			require.NoError(e, err, "drive")
		}
	}
	n := t.Stats().Turns - before
	assert.LessOrEqual(e, n, uint64(cycles+1), "polls in %d cycles of %d sessions", cycles, len(all))
	assert.GreaterOrEqual(e, n, uint64(cycles/2), "polls in %d cycles of %d sessions", cycles, len(all))
	elsewhere := make(chan error)
	go func() {
		_, err := all[0].Drive()
		elsewhere <- err
	}()
	assert.Error(e, <-elsewhere, "Drive on a goroutine that does not poll the Transport returned no error")
	for _, s := range all {
		require.NoError(e, s.(*polled.StreamSession).Close(), "close")
	}
	_, err := all[0].Drive()
	assert.ErrorIs(e, err, net.ErrClosed, "Drive of a closed session")
}

// sessionsBounded looks at what a session that is not read takes from the kernel, and at what one keeps that nobody takes.
func sessionsBounded(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		block := Pattern(1 << 20)
		sent, stuck := 0, 0
		e.duty("no more is taken", func() bool {
			rest, _, err := a.Write(block)
			require.NoError(e, err, "write")
			sent += len(block) - len(rest)
			if stuck++; len(rest) < len(block) {
				stuck = 0
			}
			return stuck > 500
		}, a, b)
		n, high := a.Queued(), a.Stream().Options().HighWater
		assert.LessOrEqual(e, n, high, "bytes queued, and HighWater")
		received := uint64(0)
		e.onStreamLoop(t, b, func() { received = uint64(b.Stream().Buffered()) })
		most := uint64(b.Stream().Options().ReadBufferLimit + 3<<20) // and what a turn may bring
		assert.LessOrEqual(e, received, most, "bytes that the stream of a session that is not read holds")
		got := e.receive(b, sent, a)
		assert.True(e, bytes.Equal(got[:1000], block[:1000]), "bytes that came")
		assert.Equal(e, sent, len(got), "bytes that came")
		require.NoError(e, a.Close(), "close")
		require.NoError(e, b.Close(), "close")
	})
}

// sessionsResetFull has a reset come while the session holds all that it may, and its stream some more.
func sessionsResetFull(e *Env) {
	e.bothWays(func(t *session.Engine) {
		if e.Network != "tcp" {
			return
		}
		a, b := e.sessions(t)
		want := Pattern(400 << 10)
		rest, held := want, 0
		e.duty("bytes that wait in the stream", func() bool {
			left, _, err := a.Write(rest)
			require.NoError(e, err, "write")
			rest = left
			e.onStreamLoop(t, b, func() { held = b.Stream().Buffered() })
			return held > 0
		}, a, b)
		require.NoError(e, a.Stream().Abort(), "abort")
		e.duty("the reset, which Flush tells at once", func() bool { return b.Flush() != nil }, b)
		var got []byte
		for {
			_, _ = b.Drive() // it fails when all has been read
			data, _, err := b.Read()
			if got = append(got, data...); err != nil {
				break
			}
		}
		assert.False(e, len(got) < 256<<10+held || !bytes.HasPrefix(want, got), "%d bytes before the reset, of %d that had come, or they differ", len(got), 256<<10+held)
		require.NoError(e, a.Close(), "close")
		require.NoError(e, b.Close(), "close")
	})
}

// onStreamLoop runs fn on the loop of a session's stream.
func (e *Env) onStreamLoop(t *session.Engine, s *polled.StreamSession, fn func()) {
	e.Helper()
	done := make(chan struct{})
	require.NoError(e, s.Stream().Post(func() { defer close(done); fn() }), "post")
	e.duty("a posted function", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, s)
}

// sessionsNoAllocation sends messages to and fro.
func sessionsNoAllocation(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		one, two := polled.NewFramed(a, frame.U64{}, 0), polled.NewFramed(b, frame.U64{}, 0)
		for _, size := range []int{0, 64, 16 << 10} {
			message := Pattern(size)
			pass := func(from, to polled.Bytes) {
				sent := false
				for {
					if !sent {
						_, status, err := from.Write(message)
						assert.NoError(e, err)
						sent = status == polled.Success
					}
					_, _ = from.Drive()
					_, _ = to.Drive()
					m, status, err := to.Read()
					assert.NoError(e, err)
					if status == polled.Data {
						if len(m) != size { // assert.Equal allocates
							e.Errorf("%d bytes, not %d", len(m), size)
						}
						return
					}
				}
			}
			exchange := func() {
				for range 50 {
					pass(one, two)
					pass(two, one)
				}
			}
			exchange()
			n := steady(exchange)
			assert.Zero(e, n, "allocations for 100 messages of %d bytes", size)
		}
		require.NoError(e, one.Close(), "close")
		require.NoError(e, two.Close(), "close")
	})
}
