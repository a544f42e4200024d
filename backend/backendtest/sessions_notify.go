package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// The rules on polled sessions that wake their owner.
var notifyRules = []Rule{
	{"P01_TellsOnce", notifyTellsOnce},
	{"P01_TellsOfRoom", notifyTellsOfRoom},
	{"P01_TellsOfTheEnd", notifyTellsOfTheEnd},
	{"P01_LosesNothing", notifyLosesNothing},
	{"P01_LosesNothingOnALoop", notifyLosesNothingOnALoop},
	{"P01_OffLocks", notifyOffLocks},
	{"P01_Panic", notifyPanic},
	{"P01_Listener", notifyListener},
}

// bell is woken by sessions, as a channel with room for one is.
type bell struct {
	e     *Env
	calls atomic.Int64
	rung  chan struct{}
}

func newBell(e *Env) *bell { return &bell{e: e, rung: make(chan struct{}, 1)} }

func (b *bell) ring() {
	b.calls.Add(1)
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// wait waits until it rings, and reports false, and an error, if it does not. Any goroutine.
func (b *bell) wait(what string) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-b.rung:
		return true
	case <-late.C:
		return assert.Fail(b.e, "nobody was woken", "within %v, for %s", patience, what)
	}
}

// needed waits until it rings.
func (b *bell) needed(what string) {
	b.e.Helper()
	if !b.wait(what) {
		b.e.FailNow()
	}
}

// looked polls a session until there is nothing left, and returns what it has read.
func looked(e *Env, s polled.Bytes) (got []byte, err error) {
	e.Helper()
	for {
		a, err := s.Drive()
		if err != nil {
			return got, err
		}
		p, status, err := s.Read()
		if err != nil {
			return got, err
		}
		got = append(got, p...)
		if a == polled.Idle && status == polled.None {
			return got, nil
		}
	}
}

// notifying opens a session with a bell, and the other end of its connection, on a Transport with loops.
func notifying(e *Env) (s *polled.StreamSession, b *bell, peer Peer) {
	e.Helper()
	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err, "listen")
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	s, err = polled.Connect(e.Under(), e.Network, l.Addr().String(), nil)
	require.NoError(e, err, "connect")
	b = newBell(e)
	require.NoError(e, s.Notify(b.ring), "notify")
	for s.Status() == polled.Establishing {
		if _, err := looked(e, s); err != nil || s.Status() != polled.Establishing {
			require.NoError(e, err, "look")
			break
		}
		b.needed("the connection")
	}
	_, err = looked(e, s)
	require.NoError(e, err, "look")
	c := arrives(e, accepted)
	require.NotNil(e, c, "accept failed")
	select {
	case <-b.rung: // it was opened after the status was seen
	default:
	}
	return s, b, e.plain(c)
}

// apart reports whether the rule is about a Transport with loops, and both ends of its own.
func (e *Env) apart() bool { return !e.Dialled && e.Peers == nil && !e.TLS }

// notifyTellsOnce has much come while the owner does not look: it is told once.
func notifyTellsOnce(e *Env) {
	if !e.apart() {
		return
	}
	s, b, peer := notifying(e)
	came := func(n int) {
		e.Helper()
		e.Eventually(func() bool { return s.Stream().Stats().BytesIn == uint64(n) }, "%d bytes on the loop", n)
	}
	for i := 1; i <= 3; i++ {
		before := b.calls.Load()
		for j := 1; j <= 3; j++ {
			_, err := peer.Write([]byte("piece"))
			require.NoError(e, err, "write")
			came(((i-1)*3 + j) * 5)
		}
		b.needed("bytes that have come")
		done := make(chan struct{})
		require.NoError(e, s.Stream().Post(func() { close(done) }))
		arrives(e, done)
		assert.Equal(e, before+1, b.calls.Load(), "calls, and the owner has not looked")
		got, err := looked(e, s)
		require.NoError(e, err, "look")
		assert.Equal(e, "piecepiecepiece", string(got))
	}
	before := b.calls.Load()
	_, _, err := s.Write([]byte("own"))
	require.NoError(e, err)
	e.ReadAll(peer, 3)
	assert.Equal(e, before, b.calls.Load(), "calls for what the owner has done itself")
	require.NoError(e, s.Close(), "close")
	e.Eventually(func() bool { return e.Under().Stats().Streams == 0 || e.bystanders != nil }, "the end of the stream")
	assert.Equal(e, before, b.calls.Load(), "calls after Close")
}

// notifyTellsOfRoom writes until there is no room, and then waits for it.
func notifyTellsOfRoom(e *Env) {
	if !e.apart() {
		return
	}
	s, b, peer := notifying(e)
	message := Pattern(8 << 20) // more than the kernel takes
	rest, status, err := s.Write(message)
	require.NoError(e, err, "write")
	read := make(chan []byte, 1)
	go func() {
		got := make([]byte, len(message))
		n, _ := io.ReadFull(peer, got)
		read <- got[:n]
	}()
	waits := 0
	for status == polled.Pending {
		if _, err = looked(e, s); err != nil {
			break
		}
		before := len(rest)
		if rest, status, err = s.Write(rest); status == polled.Pending && len(rest) == before {
			b.needed("room")
			waits++
		}
		require.NoError(e, err, "write")
	}
	require.NoError(e, err)
	assert.NotZero(e, waits, "there was room for all")
	assert.True(e, bytes.Equal(message, arrives(e, read)), "the bytes differ")
	require.NoError(e, s.Close(), "close")
}

// notifyTellsOfTheEnd has peers finish, reset, and a Transport end.
func notifyTellsOfTheEnd(e *Env) {
	if !e.apart() {
		return
	}
	for name, end := range map[string]func(s *polled.StreamSession, p Peer) error{
		"the peer finishes":    func(_ *polled.StreamSession, p Peer) error { return p.CloseWrite() },
		"the peer resets":      func(_ *polled.StreamSession, p Peer) error { return p.Reset() },
		"the stream is ended":  func(s *polled.StreamSession, _ Peer) error { return s.Stream().Abort() },
		"the peer says a word": func(_ *polled.StreamSession, p Peer) error { _, _ = p.Write([]byte("bye")); return p.Close() },
	} {
		s, b, peer := notifying(e)
		require.NoError(e, end(s, peer), name)
		var err error
		for err == nil {
			b.needed(name)
			_, err = looked(e, s)
		}
		calls := b.calls.Load()
		if err == io.EOF { // which is no end yet
			require.NoError(e, s.Stream().Abort(), "abort")
			for err == io.EOF || err == nil {
				b.needed("the end after the peer's")
				_, err = s.Drive()
			}
			calls = b.calls.Load()
		}
		_, again := s.Drive()
		assert.ErrorIs(e, again, errors.Unwrap(wrapped{err}), name)
		assert.Equal(e, polled.Terminated, s.Status(), name)
		require.NoError(e, s.Close(), "close")
		assert.LessOrEqual(e, b.calls.Load(), calls, "%s: calls after the end was seen", name)
		assert.ErrorIs(e, s.Notify(b.ring), net.ErrClosed)
	}
}

// wrapped holds an error to compare with.
type wrapped struct{ error }

func (w wrapped) Unwrap() error { return w.error }

// notifyOffLocks has the owner poll while the function has not returned, for bytes, the end, and sessions to be accepted.
func notifyOffLocks(e *Env) {
	if !e.apart() {
		return
	}
	s, _, peer := notifying(e)
	calls, polls := make(chan struct{}), make(chan struct{})
	blocks := func() { // which it must not, but who polls cannot know
		select {
		case calls <- struct{}{}:
			<-polls
		case <-time.After(patience):
		}
	}
	during := func(what string, look func()) {
		e.Helper()
		arrives(e, calls)
		done := make(chan struct{})
		go func() { look(); close(done) }()
		arrives(e, done)
		polls <- struct{}{}
	}
	require.NoError(e, s.Notify(blocks), "notify")
	_, err := peer.Write([]byte("x"))
	require.NoError(e, err, "write")
	during("bytes", func() {
		_, _ = s.Drive()
		_, _, _ = s.Read()
		_, _, _ = s.Write([]byte("x"))
		_ = s.Flush()
		s.Status()
	})
	require.NoError(e, peer.Reset(), "reset")
	during("the end", func() {
		_, _ = s.Drive()
		_ = s.Notify(nil)
		_ = s.Close()
	})

	l, err := polled.Listen(e.Under(), e.Network, e.Address(), nil)
	require.NoError(e, err, "listen")
	require.NoError(e, l.Notify(blocks), "notify")
	e.Connect(l.Addr())
	during("a session", func() {
		accepted, ok, err := l.Accept()
		if assert.NoError(e, err) && assert.True(e, ok) {
			_ = accepted.Close()
		}
		_ = l.Notify(nil)
	})
	require.NoError(e, l.Close(), "close")
}

// notifyPanic has the function panic: its stream is reset, and no other.
func notifyPanic(e *Env) {
	if !e.apart() {
		return
	}
	bystander, b, peer := notifying(e)
	s, _, hers := notifying(e)
	require.NoError(e, s.Notify(func() { panic("on purpose") }), "notify")
	_, err := hers.Write([]byte("x"))
	require.NoError(e, err, "write")
	var p *session.PanicError
	e.Eventually(func() bool { _, err = looked(e, s); return errors.As(err, &p) }, "the end of the stream by the panic")
	assert.Equal(e, "on purpose", p.Value)
	require.NoError(e, s.Close(), "close")
	_, err = peer.Write([]byte("x"))
	require.NoError(e, err, "write")
	b.needed("bytes, beside a panic")
	require.NoError(e, bystander.Close(), "close")
}

// notifyListener accepts when it is told, and is told of the end.
func notifyListener(e *Env) {
	if !e.apart() {
		return
	}
	t := e.Open(nil)
	l, err := polled.Listen(t, e.Network, e.Address(), nil)
	require.NoError(e, err, "listen")
	b := newBell(e)
	require.NoError(e, l.Notify(b.ring), "notify")
	accept := func() (n int, err error) {
		for {
			s, ok, err := l.Accept()
			if err != nil || !ok {
				return n, err
			}
			n++
			require.NoError(e, s.Close(), "close")
		}
	}
	n, err := accept()
	require.NoError(e, err, "accept")
	require.Zero(e, n, "sessions of nobody")
	for i := range 20 {
		for range 1 + i%3 {
			e.Connect(l.Addr())
		}
		for want := 1 + i%3; want > 0; want -= n {
			b.needed("a session")
			n, err = accept()
			require.NoError(e, err, "accept")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- t.Shutdown(e.patient()) }()
	for err == nil {
		b.needed("the end of the listener")
		_, err = accept()
	}
	assert.ErrorIs(e, err, net.ErrClosed)
	require.NoError(e, arrives(e, ended), "shutdown")
	require.NoError(e, l.Close(), "close")
}
