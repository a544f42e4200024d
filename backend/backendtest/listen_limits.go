package backendtest

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// parkedLimit is how many connections beyond MaxConns may be accepted.
const parkedLimit = 64

// held keeps the only loop of a Transport busy until the function that it returns is called.
func (e *Env) held(t *session.Engine) (release func()) {
	e.Helper()
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	begun, end := make(chan struct{}), make(chan struct{})
	require.NoError(e, s.Post(func() { close(begun); <-end }))
	<-begun
	return sync.OnceFunc(func() { close(end) })
}

// turn waits until the loop of a stream has run what was asked of it before.
func (e *Env) turn(s *session.Stream) {
	e.Helper()
	done := make(chan struct{})
	require.NoError(e, s.Post(func() { close(done) }))
	arrives(e, done)
}

// burst has many connect while the loop is busy, so that it finds them all at once.
func burst(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	const limit, all = 20, 150
	t := e.Open(func(o *Options) { o.Loops = 1 })
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: limit})
	require.NoError(e, err)
	release := e.held(t)
	e.Cleanup(release)
	for range all {
		e.Connect(l.Addr())
	}
	release()
	var streams []*session.Stream
	for range limit {
		streams = append(streams, h.Opened())
	}
	time.Sleep(moment)
	for done := limit; ; done++ {
		s := l.Stats()
		require.LessOrEqual(e, s.Streams, limit, "streams")
		require.LessOrEqual(e, s.Parked, parkedLimit, "connections that were accepted beyond the limit")
		e.Eventually(func() bool { return l.Stats().Parked == t.Stats().Parked }, "the same number of parked connections")
		require.NoError(e, streams[0].Close())
		if streams = streams[1:]; done == all {
			break
		}
		streams = append(streams, h.Opened())
	}
	require.NoError(e, l.Close())
}

// burstRejected is burst with RejectOverLimit: all above the limit are reset.
func burstRejected(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	const limit, all = 20, 150
	t := e.Open(func(o *Options) { o.Loops = 1 })
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: limit, RejectOverLimit: true})
	require.NoError(e, err)
	release := e.held(t)
	e.Cleanup(release)
	for range all {
		e.Connect(l.Addr())
	}
	release()
	e.Eventually(func() bool { return l.Stats().Rejected == all-limit }, "%d rejected connections", all-limit)
	assert.Equal(e, limit, h.Count("OnOpen"))
	assert.Zero(e, l.Stats().Parked)
	require.NoError(e, l.Close())
}

// park connects to a listener with a socket on each of two loops and room for one stream, until connections are parked.
func (e *Env) park(h *Hooks) (l session.Listener, peers []Peer) {
	e.Helper()
	t := e.Open(func(o *Options) { o.Loops, o.Balance = 2, session.ReusePort })
	h.env(e)
	others := echo()
	others.env(e)
	all, err := t.Listen(e.Network, e.Address(), others, nil)
	require.NoError(e, err)
	loops := []*session.Stream{others.openedOn(e, all, 0), others.openedOn(e, all, 1)}
	require.NoError(e, all.Close())
	l, err = t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 1})
	require.NoError(e, err)
	for _, s := range loops {
		e.turn(s) // both accept now
	}
	e.Eventually(func() bool {
		peers = append(peers, e.Connect(l.Addr()))
		return l.Stats().Parked > 0
	}, "a parked connection")
	return l, peers
}

// parkedPeersLeave has peers that end while they wait. They hold up nobody.
func parkedPeersLeave(e *Env) {
	if !e.once() {
		return
	}
	h := echo()
	l, peers := e.park(h)
	first := h.Opened()
	live := e.Connect(l.Addr())
	for i, p := range peers {
		if i%2 == 0 {
			_ = p.Reset()
		} else {
			_ = p.Close()
		}
	}
	_ = first.Abort()
	e.pingPong(live)
	require.NoError(e, live.Close())
	e.Eventually(func() bool {
		s := l.Stats()
		return h.Count("OnOpen") == len(peers)+1 && s.Parked == 0 && s.Streams == 0
	}, "the end of those that left")
	require.NoError(e, l.Close())
}

// parkedAreReset closes a listener for which connections wait. Their peers learn of it.
func parkedAreReset(e *Env) {
	if !e.once() {
		return
	}
	h := echo()
	l, peers := e.park(h)
	h.Opened()
	require.NoError(e, l.Close())
	assert.Zero(e, l.Stats().Parked)
	served := 0
	for _, p := range peers {
		if _, err := p.Write([]byte("x")); err == nil {
			_, err = p.Read(make([]byte, 1))
			if err == nil {
				served++
				continue
			}
			assert.True(e, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), "a connection that waited got %v", err)
		}
	}
	assert.Equal(e, 1, served, "connections that are served")
}

// pauseAccept stops and goes on, several times.
func pauseAccept(e *Env) {
	if e.Dialled {
		return
	}
	h := echo()
	l := e.listenOn(e.Network, e.Address(), h)
	l.ResumeAccept() // nothing to resume
	lives := e.Connect(l.Addr())
	h.Opened()
	waiting := 0
	for round := range 3 {
		l.PauseAccept()
		l.PauseAccept()
		p := e.Connect(l.Addr())
		_, err := p.Write([]byte("ping"))
		require.NoError(e, err)
		time.Sleep(moment)
		// One that was accepted just before, by a loop that had not yet heard of the pause, would be no fault; but none was.
		require.Equal(e, 1+round, h.Count("OnOpen"), "streams opened in a pause")
		e.pingPong(lives)
		require.NoError(e, l.Err())
		l.ResumeAccept()
		l.ResumeAccept()
		h.Opened()
		require.Equal(e, "ping", string(e.ReadAll(p, 4)))
		waiting = l.Stats().Parked
	}
	assert.Zero(e, waiting)
	l.PauseAccept()
	require.NoError(e, l.Close())
	l.ResumeAccept() // of a closed listener: nothing
	l.PauseAccept()
	e.pingPong(lives)
}

// pauseAtLimit pauses a full listener, and lets a stream end meanwhile.
func pauseAtLimit(e *Env) {
	if e.Dialled {
		return
	}
	t := e.Under()
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 1})
	require.NoError(e, err)
	e.Connect(l.Addr())
	s := h.Opened()
	second := e.Connect(l.Addr())
	_, err = second.Write([]byte("ping"))
	require.NoError(e, err)
	l.PauseAccept()
	require.NoError(e, s.Close())
	h.Closed()
	time.Sleep(moment)
	require.Equal(e, 1, h.Count("OnOpen"), "streams opened before ResumeAccept")
	l.ResumeAccept()
	require.Equal(e, "ping", string(e.ReadAll(second, 4)))
	require.NoError(e, l.Close())
}

// pauseFromEverywhere pauses and resumes on many goroutines and in callbacks while peers connect.
func pauseFromEverywhere(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	h := echo()
	var l session.Listener
	listening := make(chan struct{})
	h.Open = func(*session.Stream) {
		<-listening
		l.PauseAccept()
		l.ResumeAccept()
	}
	l = e.listenOn(e.Network, e.Address(), h)
	close(listening)
	var running sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.PauseAccept()
					l.ResumeAccept()
				}
			}
		})
	}
	for range 30 {
		e.pingPong(e.Connect(l.Addr()))
	}
	close(stop)
	running.Wait()
	e.pingPong(e.Connect(l.Addr()))
	require.NoError(e, l.Close())
}
