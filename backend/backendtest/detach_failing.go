package backendtest

import (
	"errors"
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// detachBesideReset detaches streams whose peers have sent and reset. What they sent comes before the error.
func detachBesideReset(e *Env) {
	in := Pattern(held)
	for _, fin := range []bool{false, true} {
		h := NewHooks()
		t := e.oneLoop()
		begun := e.heldUp(t, h, session.StreamOptions{}, nothing, func(s *session.Stream) { s.PauseRead() })
		begun.goOn()
		e.fillQueue(begun.s)
		if fin {
			require.NoError(e, begun.s.CloseWrite())
		}
		hold, in2 := make(chan struct{}), make(chan struct{})
		require.NoError(e, begun.s.Post(func() { close(in2); await(hold) }))
		require.True(e, await(in2))
		c, err := begun.s.Detach()
		require.NoError(e, err)
		e.writeAll(begun.p, in)
		time.Sleep(2 * time.Millisecond) // a reset drops what is still on its way
		require.NoError(e, begun.p.Reset())
		close(hold)
		h.closedWith(nil)
		e.reads(c, in, "reset")
		_, err = c.Read(make([]byte, 1))
		assert.True(e, isBroken(err), "behind all bytes: %v", err)
		e.Eventually(func() bool { _, err := c.Write([]byte("x")); return err != nil && !errors.Is(err, net.ErrClosed) }, "a Write that fails")
		require.NoError(e, c.Close())
	}
}

// completionAfterDetach has notified writes wait when the connection is given away, and looks at what is told.
func completionAfterDetach(e *Env) {
	const more = 7 << 20 // than the kernel takes at once, with small buffers
	for what, c := range map[string]struct {
		end  func(t *session.Engine, c net.Conn, p Peer)
		fate []bool // whether each of the writes fails
	}{
		"all is read":        {func(_ *session.Engine, _ net.Conn, p Peer) { e.ReadAll(p, someFull+more+2) }, []bool{false, false}},
		"the peer resets":    {func(_ *session.Engine, _ net.Conn, p Peer) { _ = p.Reset() }, []bool{true, true}},
		"the Transport ends": {func(t *session.Engine, _ net.Conn, _ Peer) { _ = t.Close() }, []bool{true, true}},
		"the Conn is closed": {func(_ *session.Engine, c net.Conn, _ Peer) { _ = c.Close() }, []bool{true, true}},
		"some is read": {func(_ *session.Engine, _ net.Conn, p Peer) {
			e.ReadAll(p, someFull+1)
			time.Sleep(moment / 3) // the Conn sends more, into the room that the read has made
			_ = p.Reset()
		}, []bool{false, true}},
	} {
		e.Scenario(what, func() {
			t, h := e.Open(nil), NewHooks()
			told := make(chan error, 10)
			h.Close = func(*session.Stream, error) { close(told) }
			s, p := e.PairOn(t, h, session.StreamOptions{CloseTimeout: 30 * time.Millisecond, HighWater: 1000})
			e.small(s)
			e.smallPeer(p)
			require.NoError(e, s.WriteNotify(Pattern(10), func(err error) { told <- err }))
			assert.NoError(e, arrives(e, told), what)
			_, err := s.Write(Pattern(someFull - 10))
			require.NoError(e, err)
			e.stalls(s)
			require.NoError(e, s.WriteNotify([]byte("x"), func(err error) { told <- err }))
			_, err = s.Write(Pattern(more))
			require.NoError(e, err)
			require.NoError(e, s.WriteNotify([]byte("x"), func(err error) { told <- err }))
			conn, err := s.Detach()
			require.NoError(e, err)
			if what != "the Transport ends" {
				h.StillOpen()
			}
			c.end(t, conn, p)
			h.closedWith(nil)
			var fate []bool
			for err := range told {
				fate = append(fate, err != nil)
			}
			assert.Equal(e, c.fate, fate, "%s: whether the notified writes failed", what)
			_ = conn.Close()
		})
	}
}
