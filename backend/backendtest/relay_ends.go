package backendtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on how relays end, and on how they do not begin.
var relayEndRules = []Rule{
	{"Relay_Reset", relayReset},
	{"Relay_ResetBehindASlowReader", relayResetSlow},
	{"Relay_ResetInAPause", relayResetPaused},
	{"Relay_ResetBeforeTheOther", relayResetEarly},
	{"Relay_EndsOfStreams", relayEndsOfStreams},
	{"Relay_Dial", relayDial},
	{"Relay_DialFails", relayDialFails},
	{"Relay_Refuses", relayRefuses},
	{"Relay_Shutdown", relayShutdown},
	{"Relay_PanicOfOnDone", relayPanic},
}

var errOnPurpose = errors.New("on purpose")

// isCut reports whether a peer's connection was reset. A Conn of crypto/tls may see that as an end without close_notify.
func isCut(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF)
}

// cut checks that a peer got all of want, and then no EOF.
func (r *relayed) cut(got *reading, want []byte) {
	r.e.Helper()
	p, err := got.all(r.e)
	assert.True(r.e, bytes.Equal(p, want), "%d bytes came before the end, not the %d that were sent", len(p), len(want))
	assert.True(r.e, isCut(err), "the other peer's connection ends with %v, not with a reset", err)
}

// relayReset has one peer send and reset: the other one gets the bytes, and then a reset.
func relayReset(e *Env) {
	if e.Network == "unix" {
		e.Skip("there is no reset of a Unix socket")
	}
	for _, second := range []bool{false, true} {
		r := e.relay(e.Under(), e.Under(), session.StreamOptions{})
		first, last := r.pa, r.pb
		if second {
			first, last = last, first
		}
		want := Pattern(100_000)
		got := readOn(last)
		_, err := first.Write(want)
		require.NoError(e, err)
		e.Eventually(func() bool { return got.len() == len(want) }, "all bytes")
		require.NoError(e, first.Reset())
		r.cut(got, want)
		assert.ErrorIs(e, r.ended().err, syscall.ECONNRESET)
	}
}

// relayResetSlow has one peer reset when the other has read nothing yet of what is queued for it: it gets all that the
// relay has, and then a reset. One that reads nothing is reset after the CloseTimeout.
func relayResetSlow(e *Env) {
	if e.Network == "unix" {
		e.Skip("there is no reset of a Unix socket")
	}
	for _, reads := range []bool{true, false} {
		e.Scenario(map[bool]string{true: "it reads", false: "it does not"}[reads], func() {
			o := session.StreamOptions{CloseTimeout: 200 * time.Millisecond}
			if reads {
				o.CloseTimeout = patience
			}
			r := e.relay(e.Under(), e.Under(), o)
			want := Pattern(20 << 20)
			go func() { _, _ = r.pa.Write(want) }()
			e.Eventually(func() bool { return r.b.Queued() > 0 }, "a queue")
			require.NoError(e, r.pa.Reset())
			e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
			if !reads {
				assert.ErrorIs(e, r.ended().err, syscall.ECONNRESET)
				return
			}
			p, err := readOn(r.pb).all(e)
			assert.True(e, bytes.HasPrefix(want, p), "%d bytes came, which are not those that were sent", len(p))
			assert.True(e, isCut(err), "it ends with %v", err)
			end := r.ended()
			assert.ErrorIs(e, end.err, syscall.ECONNRESET)
			assert.EqualValues(e, len(p), end.stats.FromA, "bytes that came, and those of the figures")
		})
	}
}

// over reports whether a stream has ended.
func over(s *session.Stream) bool { return s.Post(nothingAtAll) != nil }

// relayResetPaused has a peer reset while its stream is paused, because the other one is blocked: what it has received
// still goes to the other peer.
func relayResetPaused(e *Env) {
	if e.Network == "unix" || e.TLS {
		e.Skip("what is unread is in the socket, or encrypted")
	}
	for name, limit := range map[string]int{"room for it": 64 << 20, "a full queue": 1 << 20} {
		e.Scenario(name, func() {
			r := e.relayPairs(e.Under(), e.Under(),
				session.StreamOptions{HighWater: 1, LowWater: 1, WriteBufferLimit: limit, CloseTimeout: patience})
			early, late := Pattern(20<<20), []byte("a few bytes")
			_, err := r.b.Write(early)
			require.NoError(e, err)
			r.join()
			e.Eventually(func() bool { // the first of them may pass
				_, err = r.pa.Write(late)
				require.NoError(e, err)
				return e.buffered(r.a) > 0
			}, "bytes that wait in a pause")
			require.False(e, r.b.Writable(), "the other stream is not blocked")
			require.NoError(e, r.pa.Reset())
			e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
			r.cutBehind(early, late)
		})
	}
}

// relayResetEarly has a peer reset when one stream is taken over, and the other is not yet, because its loop is busy: the
// other peer gets what came, behind what that stream's own handler still writes.
func relayResetEarly(e *Env) {
	if e.Network == "unix" || e.TLS {
		e.Skip("what is unread is in the socket, or encrypted")
	}
	r := e.relayPairs(e.Open(nil), e.Open(nil), session.StreamOptions{CloseTimeout: patience})
	early, late := []byte("from the handler "), []byte("a few bytes")
	_, err := r.pa.Write(late)
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(r.a) == len(late) }, "the bytes")
	release := hold(r.b)
	require.NoError(e, r.b.Post(func() { _, _ = r.b.Write(early) }))
	r.join()
	require.NoError(e, r.pa.Reset())
	e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
	release()
	r.cutBehind(early, late)
}

// cutBehind checks that the second peer gets early, then late, maybe several times, and then a reset.
func (r *relayed) cutBehind(early, late []byte) {
	e := r.e
	e.Helper()
	p, err := readOn(r.pb).all(e)
	if e.Peers != nil && len(p) < len(early) { // a peer that is a stream reads only so much behind a reset
		assert.True(e, bytes.HasPrefix(early, p), "what came is not what was sent")
		assert.True(e, isCut(err), "it ends with %v", err)
		assert.ErrorIs(e, r.ended().err, syscall.ECONNRESET)
		return
	}
	require.True(e, bytes.HasPrefix(p, early), "what was queued comes first, and %d bytes came", len(p))
	rest := p[len(early):]
	assert.NotEmpty(e, rest, "what the first stream had received did not come")
	assert.Empty(e, bytes.ReplaceAll(rest, late, nil), "what came is not what was sent")
	assert.True(e, isCut(err), "it ends with %v", err)
	assert.EqualValues(e, len(rest), r.ended().stats.FromA, "bytes that came, and those of the figures")
}

// relayEndsOfStreams has the user end one of the streams, or a timeout.
func relayEndsOfStreams(e *Env) {
	for name, c := range map[string]struct {
		end     func(*session.Stream)
		want    error
		ordered bool
	}{
		"Close":          {func(s *session.Stream) { _ = s.Close() }, nil, true},
		"Abort":          {func(s *session.Stream) { _ = s.Abort() }, net.ErrClosed, false},
		"AbortWith":      {func(s *session.Stream) { _ = s.AbortWith(errOnPurpose) }, errOnPurpose, false},
		"SetIdleTimeout": {func(s *session.Stream) { s.SetIdleTimeout(20 * time.Millisecond) }, os.ErrDeadlineExceeded, false},
	} {
		for _, second := range []bool{false, true} {
			e.Scenario(name+map[bool]string{false: ", the first", true: ", the second"}[second], func() {
				r := e.relay(e.Under(), e.Under(), session.StreamOptions{})
				s, other := r.a, r.pb
				if second {
					s, other = r.b, r.pa
				}
				_, err := r.pa.Write([]byte("here"))
				require.NoError(e, err)
				require.Equal(e, "here", string(e.ReadAll(r.pb, 4)))
				c.end(s)
				_, err = readOn(other).all(e)
				if c.ordered || e.Network == "unix" && !e.TLS {
					assert.Equal(e, io.EOF, err)
				} else {
					assert.True(e, isCut(err), "the other peer's end is %v", err)
				}
				assert.ErrorIs(e, r.ended().err, c.want)
			})
		}
	}
}

// relayDial joins a stream with one that is still being connected.
func relayDial(e *Env) {
	target := e.listenWith(e.Under(), echo(), &session.ListenOptions{StreamOptions: session.StreamOptions{AllowHalfClose: true}})
	for _, same := range []bool{true, false} {
		r := e.newRelayed()
		h, far := NewHooks(), unread()
		far.env(e)
		h.Open = func(s *session.Stream) {
			o := &session.DialOptions{}
			if same {
				o.SameLoop = s
			}
			to, err := e.Under().Connect(target.Network(), target.String(), far, o)
			if assert.NoError(e, err) {
				assert.NoError(e, session.Relay(s, to, r.options()))
			}
		}
		r.a, r.pa = e.PairOn(e.Under(), h, session.StreamOptions{})
		e.handedOver(r.a, far.Opened())
		_, err := r.pa.Write([]byte("there and back"))
		require.NoError(e, err)
		require.Equal(e, "there and back", string(e.ReadAll(r.pa, 14)))
		require.NoError(e, r.pa.Close())
		_ = r.a.Close()
		r.ended()
	}
}

// relayDialFails joins a stream with one that is never connected.
func relayDialFails(e *Env) {
	h, far := NewHooks(), NewHooks()
	far.env(e)
	r := e.newRelayed()
	h.Data = func(s *session.Stream) {
		to, err := e.Under().Connect("tcp", "127.0.0.1:1", far, nil)
		if assert.NoError(e, err) {
			assert.NoError(e, session.Relay(s, to, r.options()))
		}
	}
	r.a, r.pa = e.PairOn(e.Under(), h, session.StreamOptions{})
	e.handedOver(r.a)
	_, err := r.pa.Write([]byte("hello"))
	require.NoError(e, err)
	assert.ErrorIs(e, r.ended().err, syscall.ECONNREFUSED)
	assert.ErrorIs(e, far.Closed(), syscall.ECONNREFUSED, "its own handler hears of it, too")
	_, err = r.pa.Read(make([]byte, 1))
	assert.Error(e, err, "the peer of the other one")
}

// relayRefuses asks for what cannot be, which changes nothing.
func relayRefuses(e *Env) {
	h := NewHooks()
	a, pa := e.Pair(h, session.StreamOptions{})
	ended, _ := e.Pair(unread(), session.StreamOptions{})
	require.NoError(e, ended.Abort())
	e.Eventually(func() bool { return over(ended) }, "an end")
	finished, _ := e.Pair(unread(), session.StreamOptions{})
	require.NoError(e, finished.CloseWrite())
	told := &session.RelayOptions{OnDone: func(error, session.RelayStats) { e.Error("OnDone was called") }}
	require.Error(e, session.Relay(nil, a, told))
	require.Error(e, session.Relay(a, nil, told))
	require.Error(e, session.Relay(a, a, told))
	for _, other := range []*session.Stream{ended, finished} {
		require.ErrorIs(e, session.Relay(a, other, told), net.ErrClosed)
		require.ErrorIs(e, session.Relay(other, a, told), net.ErrClosed)
	}
	_, err := pa.Write([]byte("hello"))
	require.NoError(e, err)
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes for the handler that a stream still has")

	r := e.relay(e.Under(), e.Under(), session.StreamOptions{})
	require.Error(e, session.Relay(r.a, a, told), "a stream that is relayed already")
	require.Error(e, session.Relay(a, r.b, told), "a stream that is relayed already")
	c, _ := e.Pair(unread(), session.StreamOptions{})
	e.handedOver(a, c)
	require.NoError(e, session.Relay(a, c, nil), "after all that")
}

// relayShutdown has a relay finish while its Transport shuts down, and another one not finish in time.
func relayShutdown(e *Env) {
	for _, finishes := range []bool{true, false} {
		e.Scenario(map[bool]string{true: "it finishes", false: "it does not"}[finishes], func() {
			t := e.Open(nil)
			r := e.relay(t, t, session.StreamOptions{})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- t.Shutdown(ctx) }()
			time.Sleep(moment) // Shutdown has begun
			_, err := r.pa.Write([]byte("late"))
			require.NoError(e, err)
			require.Equal(e, "late", string(e.ReadAll(r.pb, 4)))
			if !finishes {
				cancel()
				assert.ErrorIs(e, arrives(e, result), context.Canceled)
				assert.ErrorIs(e, r.ended().err, net.ErrClosed)
				return
			}
			e.sendAndFinish(r.pa, nil)
			e.sendAndFinish(r.pb, nil)
			r.endedWell(4, 0)
			assert.NoError(e, arrives(e, result))
		})
	}
}

// relayPanic has OnDone panic, which harms nobody.
func relayPanic(e *Env) {
	r := e.relayPairs(e.Under(), e.Under(), session.StreamOptions{})
	e.handedOver(r.a, r.b)
	require.NoError(e, session.Relay(r.a, r.b, &session.RelayOptions{OnDone: func(error, session.RelayStats) {
		defer func() { r.done <- relayEnd{} }()
		panic(errOnPurpose)
	}}))
	e.sendAndFinish(r.pa, nil)
	e.sendAndFinish(r.pb, nil)
	r.ended()
	_, p := e.Pair(echo(), session.StreamOptions{})
	e.pingPong(p)
}
