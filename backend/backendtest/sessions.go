package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// The rules on sessions that their caller drives, over Transports with loops and without.
var sessionRules = []Rule{
	{"Sessions_Streaming", sessionsStreaming},
	{"Sessions_Framed", sessionsFramed},
	{"Sessions_LargePayload", sessionsLargePayload},
	{"Sessions_SlowConsumer", sessionsSlowConsumer},
	{"Sessions_SmallBuffer", sessionsSmallBuffer},
	{"Sessions_RefusedDial", sessionsRefused},
	{"Sessions_Reset", sessionsReset},
	{"Sessions_ResetWhenFull", sessionsResetFull},
	{"Sessions_HalfClose", sessionsHalfClose},
	{"Sessions_Accept", sessionsAccept},
	{"Sessions_ShareATransport", sessionsShare},
	{"Sessions_Bounded", sessionsBounded},
	{"Sessions_NoAllocation", sessionsNoAllocation},
}

// bothWays runs a rule on a Transport that its caller drives and on one with loops.
func (e *Env) bothWays(rule func(t *session.Engine)) {
	if e.Dialled || e.Peers != nil {
		return // both ends are there in any case
	}
	rule(e.Under())
	rule(e.driven(session.StreamOptions{}))
}

// sessions returns both ends of a connection on one Transport.
func (e *Env) sessions(t *session.Engine) (dialled, accepted *polled.StreamSession) {
	e.Helper()
	dialled, accepted = e.connecting(t)
	e.duty("both ends", func() bool { return dialled.Status() == polled.Established }, dialled, accepted)
	return dialled, accepted
}

// connecting is sessions for what can do with a first one that is Establishing still.
func (e *Env) connecting(t *session.Engine) (dialled, accepted *polled.StreamSession) {
	e.Helper()
	a, err := polled.Listen(t, e.Network, e.Address(), nil)
	require.NoError(e, err, "listen")
	defer a.Close()
	dialled, err = polled.Connect(t, e.Network, a.Addr().String(), nil)
	require.NoError(e, err, "connect")
	e.duty("a session", func() bool {
		var ok bool
		accepted, ok, err = a.Accept()
		require.NoError(e, err, "accept")
		return ok
	}, dialled)
	return dialled, accepted
}

// driver is a Session of any kind.
type driver interface {
	Drive() (polled.Activity, error)
}

// duty drives sessions until done. It sleeps a little when nobody has anything to do, and fails if that lasts.
func (e *Env) duty(what string, done func() bool, all ...driver) {
	e.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		require.False(e, time.Now().After(deadline), "not within %v since something moved last: %s", patience, what)
		active := false
		for _, s := range all {
			a, err := s.Drive()
			require.NoError(e, err, "drive")
			active = active || a == polled.Active
		}
		if active {
			deadline = time.Now().Add(patience)
		} else {
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// conformance runs the contract of sessions, on what wrap makes of both ends of a connection.
func (e *Env) conformance(wrap func(a, b *polled.StreamSession) (polled.Bytes, polled.Bytes)) {
	if e.Dialled || e.Peers != nil {
		return
	}
	for _, driven := range []bool{false, true} {
		sessiontest.Run(e.T, func(sub *testing.T) (a, b polled.Bytes) {
			var o Options
			if o.CallerDriven = driven; driven {
				o.Loops = 1
			}
			// Each subtest is a goroutine, and so it has a Transport of its own, which it alone polls.
			t, err := start(e.Drivers, o)
			require.NoError(sub, err)
			sub.Cleanup(func() {
				assert.NoError(sub, t.Close(), "close the Transport")
			})
			here := &Env{T: sub, Setup: e.Setup}
			return wrap(here.connecting(t))
		})
	}
}

// sessionsStreaming runs the contract of sessions on streams of bytes.
func sessionsStreaming(e *Env) {
	e.conformance(func(a, b *polled.StreamSession) (polled.Bytes, polled.Bytes) { return a, b })
}

// sessionsFramed runs the contract of sessions on framed sessions.
func sessionsFramed(e *Env) {
	e.conformance(func(a, b *polled.StreamSession) (polled.Bytes, polled.Bytes) {
		return polled.NewFramed(a, frame.U64{}, 4096), polled.NewFramed(b, frame.U64{}, 0)
	})
}

// send passes a message until it is taken.
func (e *Env) send(s polled.Bytes, m []byte, others ...driver) {
	e.Helper()
	e.duty("room for a message", func() bool {
		rest, status, err := s.Write(m)
		require.NoError(e, err, "write")
		m = rest
		return status == polled.Success
	}, append(others, s)...)
}

// receive reads n bytes, or one message if n is -1.
func (e *Env) receive(s polled.Bytes, n int, others ...driver) (got []byte) {
	e.Helper()
	e.duty("bytes to read", func() bool {
		data, status, err := s.Read()
		require.NoError(e, err, "read")
		got = append(got, data...)
		return status == polled.Data && (n < 0 || len(got) >= n)
	}, append(others, s)...)
	return got
}

// sessionsLargePayload sends 9,999,999 bytes and has them come back, as bytes and as one frame.
func sessionsLargePayload(e *Env) {
	if !e.once() {
		return
	}
	payload := Pattern(9_999_999)
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		for _, way := range [][2]*polled.StreamSession{{a, b}, {b, a}} {
			rest := payload
			var got []byte
			e.duty("all bytes", func() bool {
				left, _, err := way[0].Write(rest)
				require.NoError(e, err, "write")
				rest = left
				data, _, err := way[1].Read()
				require.NoError(e, err, "read")
				got = append(got, data...)
				return len(got) >= len(payload)
			}, a, b)
			assert.True(e, bytes.Equal(got, payload), "the bytes differ")
		}
		one, two := polled.NewFramed(a, frame.U64{}, 4096), polled.NewFramed(b, frame.U64{}, 4096)
		for _, way := range [][2]polled.Bytes{{one, two}, {two, one}} {
			e.send(way[0], payload, way[1])
			got := e.receive(way[1], -1, way[0])
			assert.True(e, bytes.Equal(got, payload), "a frame of %d bytes came, and differs", len(got))
		}
		require.NoError(e, one.Close(), "close")
		require.NoError(e, two.Close(), "close")
	})
}

// sessionsSlowConsumer sends 100,000 frames of 39 bytes to a peer that reads nothing until it sees back-pressure.
func sessionsSlowConsumer(e *Env) {
	if !e.once() {
		return
	}
	const count, size = 100_000, 39
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		require.NoError(e, b.Stream().SetSocketOption(backend.SendBuffer(64<<10)), "send buffer") // or the kernel might take all
		one, two := polled.NewFramed(b, frame.U64{}, 4096), polled.NewFramed(a, frame.U64{}, 4096)
		message := Pattern(count + size)
		sent, came, pending := 0, 0, 0
		e.duty("all frames", func() bool {
			for sent < count {
				_, status, err := one.Write(message[sent:][:size])
				require.NoError(e, err, "write")
				if status == polled.Pending {
					pending++
					break
				}
				sent++
			}
			for range 100 { // slowly, and not before it must
				if pending < 100 && sent < count {
					break
				}
				m, status, err := two.Read()
				require.NoError(e, err, "read")
				if status != polled.Data {
					break
				}
				require.True(e, bytes.Equal(m, message[came:][:size]), "frame %d differs", came)
				came++
			}
			return came == count
		}, one, two)
		assert.NotZero(e, pending, "%d frames were taken and never Pending: no back-pressure", sent)
		assert.Equal(e, count, sent, "%d frames were taken and never Pending: no back-pressure", sent)
		require.NoError(e, one.Close(), "close")
		require.NoError(e, two.Close(), "close")
	})
}

// sessionsSmallBuffer sends a frame that fits the write buffer and one that is much larger.
func sessionsSmallBuffer(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		one, two := polled.NewFramed(a, frame.U64{}, 1024), polled.NewFramed(b, frame.U64{}, 1024)
		for _, n := range []int{512, 888_888, 0, 512} {
			e.send(one, Pattern(n), two)
			got := e.receive(two, -1, one)
			assert.True(e, bytes.Equal(got, Pattern(n)), "a frame of %d bytes, not %d, or it differs", len(got), n)
		}
		require.NoError(e, one.Close(), "close")
		require.NoError(e, two.Close(), "close")
	})
}

// sessionsRefused dials an address where nobody listens.
func sessionsRefused(e *Env) {
	e.bothWays(func(t *session.Engine) {
		if e.Network != "tcp" {
			return
		}
		hole, addr, err := bound()
		require.NoError(e, err, "bind")
		defer hole.Close()
		s, err := polled.Connect(t, e.Network, addr.String(), nil)
		require.NoError(e, err, "connect")
		for deadline := time.Now().Add(patience); err == nil; time.Sleep(20 * time.Microsecond) {
			_, err = s.Drive()
			require.False(e, time.Now().After(deadline), "the dial never fails")
		}
		var op *net.OpError
		assert.ErrorIs(e, err, syscall.ECONNREFUSED, "Drive")
		assert.ErrorAs(e, err, &op, "Drive")
		assert.Equal(e, polled.Terminated, s.Status())
		_, status, err := s.Write([]byte("x"))
		assert.Equal(e, polled.Pending, status, "the status of Write")
		assert.ErrorIs(e, err, syscall.ECONNREFUSED, "Write: %v", status)
		_, _, err = s.Read()
		assert.ErrorIs(e, err, syscall.ECONNREFUSED, "Read")
		require.NoError(e, s.Close(), "close")
	})
}

// sessionsReset reads what came before a reset, first.
func sessionsReset(e *Env) {
	e.bothWays(func(t *session.Engine) {
		if e.Network != "tcp" {
			return
		}
		a, b := e.sessions(t)
		e.send(a, []byte("last words"), b)
		e.duty("the bytes are sent", func() bool { return a.Queued() == 0 }, a, b)
		require.NoError(e, a.Stream().Abort(), "abort")
		var got []byte
		var err error
		for deadline := time.Now().Add(patience); err == nil; time.Sleep(20 * time.Microsecond) {
			_, err = b.Drive()
			require.False(e, time.Now().After(deadline), "the reset never shows")
			if err != nil {
				break
			}
			var data []byte
			data, _, err = b.Read()
			got = append(got, data...)
		}
		assert.ErrorIs(e, err, syscall.ECONNRESET, "%v, %v", err, b.Status())
		assert.Equal(e, polled.Terminated, b.Status(), "%v", err)
		assert.Equal(e, "last words", string(got), "bytes that came before the reset")
		require.NoError(e, b.Close(), "close")
		require.NoError(e, a.Close(), "close")
	})
}

// sessionsHalfClose answers a peer that has finished.
func sessionsHalfClose(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		one := polled.NewFramed(a, frame.U64{}, 1024)
		two := polled.NewFramed(b, frame.Line{}, 1024)
		e.send(one, []byte("the end is near"), two)
		require.NoError(e, one.Flush(), "flush")
		require.NoError(e, a.CloseWrite(), "CloseWrite")
		var lines []byte
		e.duty("the end", func() bool {
			data, _, err := two.Read()
			if err != io.EOF {
				require.NoError(e, err, "read")
			}
			lines = append(lines, data...)
			return err == io.EOF
		}, one, two)
		want := "\x0f\x00\x00\x00\x00\x00\x00\x00the end is near"
		assert.Equal(e, want, string(lines), "the last line")
		_, _, err := two.Write([]byte("answer"))
		require.NoError(e, err, "write after the peer's end")
		e.duty("the answer", func() bool {
			if _, _, err = one.Read(); err != nil { // six bytes of no u64: the end is within a frame
				return true
			}
			if two.Queued()+b.Queued() == 0 && !errors.Is(err, net.ErrClosed) {
				require.NoError(e, b.CloseWrite(), "CloseWrite")
			}
			return false
		}, one, two)
		e.asFrameError(err, io.ErrUnexpectedEOF, int64(len("answer\n")))
		require.NoError(e, one.Close(), "close")
		require.NoError(e, two.Close(), "close")
	})
}
