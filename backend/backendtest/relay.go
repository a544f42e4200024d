package backendtest

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on Relay. Its documentation is what it promises.
var relayRules = []Rule{
	{"Relay_BothWays", relayBothWays},
	{"Relay_HalfClose", relayHalfClose},
	{"Relay_UnreadBytesGoFirst", relayUnread},
	{"Relay_PeerHasFinished", relayFinished},
	{"Relay_SlowReader", relaySlowReader},
	{"Relay_SmallLimits", relaySmallLimits},
	{"Relay_OtherTransport", relayOtherTransport},
	{"Relay_StartTLS", relayStartTLS},
	{"Relay_TLSOnOneSide", relayOneTLS},
}

// relayed is two streams that are joined, with their peers.
type relayed struct {
	e      *Env
	a, b   *session.Stream
	pa, pb Peer
	done   chan relayEnd
}

// relayEnd is what OnDone was called with.
type relayEnd struct {
	err   error
	stats session.RelayStats
}

func (e *Env) newRelayed() *relayed { return &relayed{e: e, done: make(chan relayEnd, 2)} }

// relay joins streams of two Transports, or of one.
func (e *Env) relay(ta, tb *session.Engine, o session.StreamOptions) *relayed {
	e.Helper()
	r := e.relayPairs(ta, tb, o)
	r.join()
	return r
}

// relayPairs is relay without the call of Relay.
func (e *Env) relayPairs(ta, tb *session.Engine, o session.StreamOptions) *relayed {
	e.Helper()
	r := e.newRelayed()
	r.a, r.pa = e.PairOn(ta, unread(), o)
	r.b, r.pb = e.PairOn(tb, unread(), o)
	return r
}

// unread are Hooks that read nothing.
func unread() *Hooks {
	h := NewHooks()
	h.Data = func(*session.Stream) {}
	return h
}

// join calls Relay.
func (r *relayed) join() {
	r.e.Helper()
	r.e.handedOver(r.a, r.b)
	require.NoError(r.e, session.Relay(r.a, r.b, r.options()), "Relay")
}

func (r *relayed) options() *session.RelayOptions {
	return &session.RelayOptions{OnDone: func(err error, s session.RelayStats) { r.done <- relayEnd{err, s} }}
}

// handedOver has Hooks not wait for the end of streams that get another handler.
func (e *Env) handedOver(streams ...*session.Stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.hooks {
		h.mu.Lock()
		for _, s := range streams {
			if l := h.lives[s]; l != nil {
				l.handedOver = true
			}
		}
		h.mu.Unlock()
	}
}

// ended waits for OnDone, and checks that it is not called again.
func (r *relayed) ended() relayEnd {
	r.e.Helper()
	end := arrives(r.e, r.done)
	time.Sleep(time.Millisecond) // for a second call
	assert.Empty(r.e, r.done, "OnDone was called twice")
	return end
}

// endedWell checks that OnDone has no error to tell, and its figures.
func (r *relayed) endedWell(fromA, fromB int) {
	r.e.Helper()
	assert.Equal(r.e, relayEnd{nil, session.RelayStats{FromA: uint64(fromA), FromB: uint64(fromB)}}, r.ended())
}

// size is n bytes, or few where there is little memory.
func (e *Env) size(n int) int {
	if e.Tiny {
		return n / 20
	}
	return n
}

// relayBothWays has both peers send much at the same time, on one loop and on two.
func relayBothWays(e *Env) {
	ab, ba := Pattern(e.size(4<<20)), Pattern(e.size(3 << 20))[1:]
	both := func(t *session.Engine) {
		r := e.relay(t, t, session.StreamOptions{})
		fromB, fromA := readOn(r.pa), readOn(r.pb)
		var all sync.WaitGroup
		all.Go(func() { e.transfers(r.pa, ab) })
		all.Go(func() { e.transfers(r.pb, ba) })
		all.Wait()
		fromA.gotAll(e, ab)
		fromB.gotAll(e, ba)
		r.endedWell(len(ab), len(ba))
	}
	e.Scenario("two loops", func() { both(e.Under()) })
	e.Scenario("one loop", func() { both(e.oneLoop()) })
}

// transfers is sendAndFinish on another goroutine than the rule's.
func (e *Env) transfers(p Peer, b []byte) {
	_, err := p.Write(b)
	assert.NoError(e, err, "the peer's write")
	assert.NoError(e, p.CloseWrite(), "the peer's close for writing")
}

// relayHalfClose has one peer finish, with bytes before it and without, and the other go on for a while.
func relayHalfClose(e *Env) {
	for name, n := range map[string]int{"behind bytes": 50_000, "without bytes": 0} {
		for _, second := range []bool{false, true} {
			e.Scenario(name+map[bool]string{false: ", the first", true: ", the second"}[second], func() {
				r := e.relay(e.Under(), e.Under(), session.StreamOptions{})
				first, last := r.pa, r.pb
				if second {
					first, last = last, first
				}
				question, answer := Pattern(n), Pattern(70_000)
				at := readOn(last)
				e.sendAndFinish(first, question)
				at.gotAll(e, question)
				time.Sleep(moment) // the relay rests, with one direction at its end
				_, err := last.Write(answer[:100])
				require.NoError(e, err)
				require.Equal(e, answer[:100], e.ReadAll(first, 100))
				back := readOn(first)
				e.sendAndFinish(last, answer[100:])
				back.gotAll(e, answer[100:])
				if second {
					r.endedWell(len(answer), n)
				} else {
					r.endedWell(n, len(answer))
				}
			})
		}
	}
}

// relayUnread has bytes that nobody has read, and bytes that were written, before Relay is called: on the loop of one of
// the streams, in its OnData, or on none.
func relayUnread(e *Env) {
	for _, inside := range []bool{true, false} {
		e.Scenario(map[bool]string{true: "in OnData", false: "elsewhere"}[inside], func() {
			r := e.newRelayed()
			h, joined := NewHooks(), make(chan bool, 1)
			h.Data = func(s *session.Stream) {
				if s.Buffered() >= 7 && inside {
					_, err := s.Next(2)
					assert.NoError(e, err)
					assert.NoError(e, session.Relay(s, r.b, r.options()))
					joined <- true
				}
			}
			r.b, r.pb = e.PairOn(e.Under(), unread(), session.StreamOptions{})
			r.a, r.pa = e.PairOn(e.Under(), h, session.StreamOptions{})
			e.handedOver(r.a, r.b)
			_, err := r.b.Write([]byte("hello "))
			require.NoError(e, err)
			_, err = r.pb.Write([]byte("back"))
			require.NoError(e, err)
			_, err = r.pa.Write([]byte("to the "))
			require.NoError(e, err)
			if inside {
				arrives(e, joined)
			} else {
				e.Eventually(func() bool { return e.buffered(r.a) == 7 }, "the first bytes")
				e.onLoop(r.a, func() { _, _ = r.a.Next(2) })
				r.join()
			}
			e.sendAndFinish(r.pa, []byte(" world"))
			readOn(r.pb).gotAll(e, []byte("hello  the  world"))
			e.sendAndFinish(r.pb, nil)
			readOn(r.pa).gotAll(e, []byte("back"))
			r.endedWell(11, 4)
		})
	}
}

// relayFinished has one peer finish, and its stream's handler learn of that, before Relay is called.
func relayFinished(e *Env) {
	h := unread()
	r := e.newRelayed()
	r.a, r.pa = e.PairOn(e.Under(), h, session.StreamOptions{AllowHalfClose: true})
	r.b, r.pb = e.PairOn(e.Under(), unread(), session.StreamOptions{})
	e.sendAndFinish(r.pa, []byte("early"))
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	r.join()
	readOn(r.pb).gotAll(e, []byte("early"))
	e.sendAndFinish(r.pb, []byte("late"))
	readOn(r.pa).gotAll(e, []byte("late"))
	r.endedWell(5, 4)
}

// relaySlowReader has a peer that reads nothing: what the relay holds is bounded, the other direction goes on, and nothing
// is lost.
func relaySlowReader(e *Env) {
	if e.Tiny {
		e.Skip("there is too little memory for so many bytes")
	}
	o := session.StreamOptions{ReadBufferLimit: 64 << 10, HighWater: 32 << 10}
	r := e.relay(e.Under(), e.Under(), o)
	ab := Pattern(20 << 20)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		e.transfers(r.pa, ab)
	}()
	held := func() int { return e.buffered(r.a) + r.b.Queued() }
	before, same := -1, 0
	e.Eventually(func() bool { // where bytes go from socket to socket, little may be held
		n := held()
		time.Sleep(10 * time.Millisecond) // between two looks
		if same++; n != before {
			before, same = n, 0
		}
		return same == 10
	}, "a relay that stops")
	sealed := o.HighWater + o.ReadBufferLimit + 256<<10
	assert.LessOrEqual(e, held(), sealed+sealed/20, "bytes that the relay holds") // encrypted, with TLS
	_, err := r.pb.Write([]byte("meanwhile"))
	require.NoError(e, err)
	assert.Equal(e, "meanwhile", string(e.ReadAll(r.pa, 9)), "the other direction")
	got := readOn(r.pb)
	require.True(e, await(sent), "the peer's write does not end")
	got.gotAll(e, ab)
	require.NoError(e, r.pb.CloseWrite())
	r.endedWell(len(ab), 9)
}

// relaySmallLimits has queues that take less than what comes at a time.
func relaySmallLimits(e *Env) {
	for _, o := range []session.StreamOptions{
		{WriteBufferLimit: 5_000}, {WriteBufferLimit: 5_000, HighWater: 5_000, LowWater: 1}, {HighWater: 1, LowWater: 1},
		{WriteBufferLimit: 1}, {ReadBufferLimit: 1}, {TurnBudget: 1000, WriteBufferLimit: 3_000},
	} {
		r := e.relay(e.Under(), e.Under(), o)
		ab := Pattern(e.size(300_000))
		got := readOn(r.pb)
		e.sendAndFinish(r.pa, ab)
		got.gotAll(e, ab)
		e.sendAndFinish(r.pb, ab[:5_000])
		readOn(r.pa).gotAll(e, ab[:5_000])
		r.endedWell(len(ab), 5_000)
	}
}

// relayOtherTransport has each stream be of a Transport of its own, one of which ends later.
func relayOtherTransport(e *Env) {
	a, b := e.Under(), e.Open(nil)
	r := e.relay(a, b, session.StreamOptions{})
	ab := Pattern(e.size(1 << 20))
	got := readOn(r.pb)
	e.sendAndFinish(r.pa, ab)
	got.gotAll(e, ab)
	require.NoError(e, b.Close())
	assert.ErrorIs(e, r.ended().err, net.ErrClosed, "the end of a Transport")
}

// relayStartTLS has a stream begin TLS, and be joined with a plain one, with plain bytes unread.
func relayStartTLS(e *Env) {
	r := e.relayPairs(e.Under(), e.Under(), session.StreamOptions{})
	raw, ok := r.pa.(plainPeer)
	if !ok || e.TLS {
		e.Skip("the peer is a stream, or has TLS already")
	}
	_, err := raw.Write([]byte("plain "))
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(r.a) == 6 }, "the plain bytes")
	e.onLoop(r.a, func() { assert.NoError(e, r.a.StartTLS(serverTLS(), true)) })
	r.join()
	c := plainPeer{tls.Client(raw, clientTLS())}
	got := readOn(r.pb)
	want := Pattern(e.size(1 << 20))
	e.transfers(c, want)
	got.gotAll(e, append([]byte("plain "), want...))
	back := readOn(c)
	e.sendAndFinish(r.pb, want)
	back.gotAll(e, want)
	r.endedWell(len(want)+6, len(want))
}

// relayOneTLS has TLS on one side: bytes pass both ways, close_notify is an end, and a FIN without it is a failure.
func relayOneTLS(e *Env) {
	for _, truncated := range []bool{false, true} {
		e.Scenario(map[bool]string{false: "close_notify", true: "truncated"}[truncated], func() {
			r := e.newRelayed()
			h := unread()
			a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
			c := e.tlsPeer(a, clientTLS())
			r.a, r.pa = h.Opened(), plainPeer{c}
			r.b, r.pb = e.PairOn(e.Under(), unread(), session.StreamOptions{})
			r.join()
			want := Pattern(e.size(1 << 20))
			got := readOn(r.pb)
			_, err := c.Write(want)
			require.NoError(e, err)
			if truncated {
				require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
				b, err := got.all(e)
				assert.Len(e, b, len(want), "what came before the end")
				if e.Network != "unix" {
					assert.True(e, isCut(err), "the end is a reset, not %v", err)
				}
				assert.ErrorIs(e, r.ended().err, io.ErrUnexpectedEOF)
				return
			}
			require.NoError(e, c.CloseWrite())
			got.gotAll(e, want)
			back := readOn(r.pa)
			e.sendAndFinish(r.pb, want)
			back.gotAll(e, want)
			r.endedWell(len(want), len(want))
		})
	}
}
