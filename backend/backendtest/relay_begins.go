package backendtest

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on what happens between the call of Relay and the moment when both streams are taken over, and on what a
// stream may not do to another one of a relay.
var relayBeginRules = []Rule{
	{"Relay_WhileItsHandlerHearsOfTheEnd", relayInEOF},
	{"Relay_CloseOfADial", relayClosesDial},
	{"Relay_ResetBeforeAdoption", relayResetBeforeAdoption},
	{"Relay_ShutdownBeforeItBegins", relayShutdownEarly},
	{"Relay_TLSFailsBehindUnreadBytes", relayBadRecord},
	{"Relay_StartTLSFails", relayStartTLSFails},
	{"Relay_BlockingSocket", relayBlockingSocket},
}

// noRecord is no TLS, and long enough to be taken for it.
const noRecord = "this is no record, and long enough to be taken for one"

// relayInEOF calls Relay on another goroutine while OnEOF of one stream is running, which would close itself then: but it
// belongs to the relay already.
func relayInEOF(e *Env) {
	r := e.newRelayed()
	h, told, goOn := unread(), make(chan bool, 1), make(chan struct{})
	h.EOF = func(*session.Stream) {
		told <- true
		await(goOn)
	}
	r.a, r.pa = e.PairOn(e.Open(nil), h, session.StreamOptions{})
	r.b, r.pb = e.PairOn(e.Open(nil), unread(), session.StreamOptions{})
	e.sendAndFinish(r.pa, []byte("early"))
	arrives(e, told)
	r.join()
	close(goOn)
	readOn(r.pb).gotAll(e, []byte("early"))
	e.sendAndFinish(r.pb, []byte("late"))
	readOn(r.pa).gotAll(e, []byte("late"))
	r.endedWell(5, 4)
}

// relayClosesDial has the user close one stream while the other is still being connected: that ends both in order.
func relayClosesDial(e *Env) {
	for _, second := range []bool{false, true} {
		e.Scenario(map[bool]string{false: "the other is closed", true: "the dial is closed"}[second], func() {
			r, far := e.newRelayed(), NewHooks()
			far.env(e)
			var err error
			r.a, r.pa = e.PairOn(e.Under(), unread(), session.StreamOptions{})
			r.b, err = e.Under().Connect("tcp", "mute.test.:1", far, &session.DialOptions{Resolver: names{"mute.test.": nil}.resolver(e)})
			require.NoError(e, err)
			r.join()
			e.onLoop(r.a, func() {}) // it has been taken over
			if second {
				require.NoError(e, r.b.Close())
			} else {
				require.NoError(e, r.a.Close())
			}
			readOn(r.pa).gotAll(e, nil)
			r.endedWell(0, 0)
			assert.ErrorIs(e, far.Closed(), net.ErrClosed, "its own handler hears of it")
		})
	}
}

// relayResetBeforeAdoption has a peer reset before the other stream, which is adopted, has got to its loop. That is no
// reason to lose what came: the other one is connected.
func relayResetBeforeAdoption(e *Env) {
	if e.Network == "unix" || e.TLS || e.Dialled || e.Peers != nil {
		e.Skip("what is unread is in the socket, or encrypted")
	}
	r, h := e.newRelayed(), unread()
	h.env(e)
	want := []byte("a few bytes")
	r.a, r.pa = e.PairOn(e.Under(), unread(), session.StreamOptions{})
	_, err := r.pa.Write(want)
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(r.a) == len(want) }, "the bytes")
	t := e.oneLoop()
	busy, _ := e.PairOn(t, unread(), session.StreamOptions{})
	release := hold(busy)
	defer release()
	c, other := e.connPair(e.Network)
	r.pb = e.plain(other)
	r.b, err = t.Adopt(c.(syscall.Conn), h)
	require.NoError(e, err)
	r.join()
	require.NoError(e, r.pa.Reset())
	e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
	release()
	h.Opened()
	e.handedOver(r.a, r.b)
	r.cut(readOn(r.pb), want)
	end := r.ended()
	assert.ErrorIs(e, end.err, syscall.ECONNRESET)
	assert.EqualValues(e, len(want), end.stats.FromA)
}

// relayShutdownEarly has a Transport shut down when Relay was called, and the loop has had no time yet to take a stream
// over: the relay is left alone all the same.
func relayShutdownEarly(e *Env) {
	t := e.oneLoop()
	r := e.relayPairs(t, t, session.StreamOptions{})
	_, err := r.pa.Write([]byte("early"))
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(r.a) == 5 }, "the bytes")
	release := hold(r.b)
	for range 40 { // more than a turn has time for
		require.NoError(e, r.a.Post(func() { time.Sleep(time.Millisecond) }))
	}
	r.join()
	result := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { result <- t.Shutdown(ctx) }()
	time.Sleep(moment) // so that Shutdown has begun: nothing tells when it has posted to the loop
	release()
	got := readOn(r.pb)
	e.sendAndFinish(r.pa, []byte(" and late"))
	got.gotAll(e, []byte("early and late"))
	e.sendAndFinish(r.pb, nil)
	r.endedWell(14, 0)
	assert.NoError(e, arrives(e, result))
}

// relayBadRecord has a peer with TLS send bytes and, right behind them, what is no TLS, while the other stream has no room
// for the bytes. They get there all the same.
func relayBadRecord(e *Env) {
	if !e.once() {
		return
	}
	r, h := e.newRelayed(), unread()
	a := e.listenTLS(e.Open(nil), h, &session.ListenOptions{})
	wire := &gathering{Conn: e.rawPeer(a)}
	c := tls.Client(wire, clientTLS())
	require.NoError(e, c.Handshake(), "the peer's handshake")
	r.a, r.pa = h.Opened(), plainPeer{c}
	r.b, r.pb = e.PairOn(e.Open(nil), unread(), session.StreamOptions{HighWater: 1, LowWater: 1, WriteBufferLimit: 1, CloseTimeout: patience})
	early, late := Pattern(20<<20), []byte("a few bytes")
	_, err := r.b.Write(early)
	require.NoError(e, err)
	r.join()
	e.onLoop(r.a, func() {})
	e.onLoop(r.b, func() {})
	require.Positive(e, r.b.Queued())
	wire.gather = true
	_, err = c.Write(late)
	require.NoError(e, err)
	_, err = wire.Conn.Write(append(wire.held, noRecord...))
	require.NoError(e, err)
	e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
	r.cutBehind(early, late)
}

// gathering is a Conn that can keep what is written, so that it goes out together with more.
type gathering struct {
	net.Conn
	gather bool
	held   []byte
}

func (g *gathering) Write(p []byte) (int, error) {
	if g.gather {
		g.held = append(g.held, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

// relayInHandshake makes streams for a relay, the first of which has plain bytes unread and waits for a handshake.
func (e *Env) relayInHandshake() (r *relayed, plain []byte) {
	r = e.relayPairs(e.Open(nil), e.Open(nil), session.StreamOptions{CloseTimeout: patience})
	plain = []byte("plain bytes")
	_, err := r.pa.Write(plain)
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(r.a) == len(plain) }, "the plain bytes")
	e.onLoop(r.a, func() { assert.NoError(e, r.a.StartTLS(serverTLS(), true)) })
	return r, plain
}

// relayStartTLSFails has the handshake of StartTLS fail, with plain bytes unread, before the other stream is taken over.
func relayStartTLSFails(e *Env) {
	if !e.once() || e.TLS {
		return
	}
	r, plain := e.relayInHandshake()
	release := hold(r.b)
	r.join()
	_, err := r.pa.Write([]byte(noRecord))
	require.NoError(e, err)
	e.Eventually(func() bool { return over(r.a) }, "the end of the first stream")
	release()
	r.cutBehind(nil, plain)
}

// relayBlockingSocket joins with a socket that somebody else has, too, and makes blocking. That holds up no loop.
func relayBlockingSocket(e *Env) {
	if e.TLS || e.Dialled || e.Peers != nil {
		e.Skip("the socket is adopted")
	}
	for _, second := range []bool{true, false} {
		r, h := e.newRelayed(), unread()
		h.env(e)
		c, other := e.connPair(e.Network)
		f, err := c.(interface{ File() (*os.File, error) }).File()
		require.NoError(e, err)
		e.Cleanup(func() { _ = f.Close() })
		adopted, err := e.Under().Adopt(c.(syscall.Conn), h)
		require.NoError(e, err)
		h.Opened()
		p := e.plain(other)
		s, q := e.PairOn(e.Under(), unread(), session.StreamOptions{})
		e.Cleanup(func() { _, _ = p.Reset(), q.Reset() }) // a loop that is held up goes on
		r.a, r.b, r.pa, r.pb = adopted, s, p, q
		if second {
			r.a, r.b, r.pa, r.pb = s, adopted, q, p
		}
		if err := makeBlocking(f); err != nil {
			e.Skip(err)
		}
		r.join()
		want := Pattern(e.size(20 << 20))
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			e.transfers(r.pa, want)
		}()
		before, same := -1, 0
		e.Eventually(func() bool {
			n := int(r.a.Stats().BytesIn)
			time.Sleep(time.Millisecond) // between two looks
			if same++; n != before {
				before, same = n, 0
			}
			return same == 30
		}, "a relay that stops")
		for _, s := range []*session.Stream{r.a, r.b} {
			e.onLoop(s, func() {})
		}
		readOn(r.pb).gotAll(e, want)
		require.True(e, await(sent), "the peer's write does not end")
		e.sendAndFinish(r.pb, nil)
		r.endedWell(len(want), 0)
	}
}
