package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// Rules on sessions that are handed on, and on those that nobody has accepted.
var handoverRules = []Rule{
	{"Sessions_Detach", sessionsDetach},
	{"Sessions_DetachFramed", sessionsDetachFramed},
	{"Sessions_DetachTheStream", sessionsDetachStream},
	{"Sessions_DetachInVain", sessionsDetachInVain},
	{"Sessions_DetachKeepsTheMessage", sessionsDetachKeeps},
	{"Sessions_CloseInStages", sessionsInStages},
	{"Sessions_UnacceptedThatEnded", sessionsForgotten},
	{"Sessions_UnacceptedAreBounded", sessionsUnaccepted},
	{"Sessions_UnacceptedHoldLittle", sessionsUnacceptedHold},
}

// detachable is a session that can be handed on.
type detachable interface {
	driver
	Detach() (net.Conn, error)
}

// handedOn follows a session that was handed on: c first has unread, and then goes both ways; what a's peer had still to
// send comes before that.
func (e *Env) handedOn(a *polled.StreamSession, s detachable, unread, unsent []byte) {
	e.Helper()
	c, err := s.Detach()
	require.NoError(e, err)
	e.Cleanup(func() { _ = c.Close() })
	_, err = s.Drive()
	assert.ErrorIs(e, err, net.ErrClosed, "Drive behind Detach")
	_, err = s.Detach()
	assert.ErrorIs(e, err, net.ErrClosed, "a second Detach")

	more := Pattern(300_000)
	p := e.plain(c)
	got := readOn(p)
	rest := slices.Clone(more)
	answered, want := []byte(nil), append(slices.Clone(unsent), "answer"...)
	wrote := make(chan error, 1)
	go func() {
		_, err := p.Write([]byte("answer"))
		wrote <- err
	}()
	e.duty("bytes both ways", func() bool {
		rest, _, err = a.Write(rest)
		require.NoError(e, err, "write")
		data, _, err := a.Read()
		require.NoError(e, err, "read")
		answered = append(answered, data...)
		return len(rest) == 0 && a.Queued() == 0 && len(answered) >= len(want)
	}, a)
	require.NoError(e, arrives(e, wrote), "write to the Conn")
	require.True(e, bytes.Equal(want, answered), "%d bytes came from the Conn, not %d, or they differ", len(answered), len(want))
	require.NoError(e, a.CloseWrite())
	e.duty("the end of the Conn's reader", got.ended, a)
	got.gotAll(e, append(slices.Clone(unread), more...))
	require.NoError(e, p.Close(), "close the Conn")
	require.NoError(e, a.Close(), "close")
}

// sessionsDetach hands on a session that has read a part of what came, with bytes that are not sent yet.
func sessionsDetach(e *Env) {
	for _, layered := range []bool{false, true} {
		e.bothWays(func(t *session.Engine) {
			a, b := e.sessions(t)
			var s polled.Bytes = b
			if layered {
				s = polled.NewLiveness(polled.NewHeartbeat(s, time.Hour, func(polled.Bytes) (polled.Beat, error) {
					return polled.Skipped, nil
				}), time.Hour, 0)
			}
			sent := Pattern(100_000)
			e.send(a, sent, b)
			e.duty("the bytes are sent", func() bool { return a.Queued() == 0 }, a, b)
			first := e.receive(s, 1, a)
			require.True(e, bytes.HasPrefix(sent, first))
			unsent := Pattern(60_000)
			left, _, err := s.Write(unsent)
			require.NoError(e, err)
			e.handedOn(a, s.(detachable), sent[len(first):], unsent[:len(unsent)-len(left)])
		})
	}
}

// sessionsDetachFramed hands on a session of messages that has read one of three, with frames that wait. The third one has
// come in part.
func sessionsDetachFramed(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		f := polled.NewFramed(b, codec, 1<<20)
		wire := encoded(e, sized(5, 3000, 70_000)...)
		cut := len(wire) - 60_000
		e.send(a, wire[:cut], f)
		e.duty("the bytes are sent", func() bool { return a.Queued() == 0 }, a, f)
		require.Equal(e, sized(5)[0], e.receive(f, -1, a))
		answers := sized(10, 500_000)
		for _, m := range answers {
			_, status, err := f.Write(m)
			require.NoError(e, err)
			require.Equal(e, polled.Success, status)
		}
		e.handedOn(a, f, wire[13:cut], encoded(e, answers...))
	})
}

// sessionsDetachStream detaches the stream of a session, which holds what has come.
func sessionsDetachStream(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		before, sent := t.Stats().BytesDelivered, Pattern(100_000)
		e.send(a, sent, b)
		e.duty("the bytes are sent", func() bool { return a.Queued() == 0 }, a, b)
		first := e.receive(b, 1, a)
		more := Pattern(1000)
		e.send(a, more, b)
		all := uint64(len(sent) + len(more))
		e.duty("the session holds the bytes", func() bool { return t.Stats().BytesDelivered-before >= all }, a, b)
		c, err := b.Stream().Detach()
		require.NoError(e, err)
		e.Cleanup(func() { _ = c.Close() })
		got := readOn(e.plain(c))
		require.NoError(e, a.CloseWrite())
		e.duty("the bytes of the Conn", got.ended, a)
		got.gotAll(e, append(sent[len(first):], more...))
		require.NoError(e, a.Close(), "close")
		require.NoError(e, b.Close(), "close a session whose stream was detached")
		require.NoError(e, c.Close(), "close the Conn")
	})
}

// opaque is a session that cannot be handed on.
type opaque struct{ polled.Bytes }

// sessionsDetachInVain asks sessions that cannot be handed on, or not yet. They go on.
func sessionsDetachInVain(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		f := polled.NewFramed(opaque{b}, codec, 0)
		_, err := f.Detach()
		assert.ErrorIs(e, err, errors.ErrUnsupported)
		_, err = polled.NewLiveness(polled.Bytes(opaque{b}), time.Hour, 0).Detach()
		assert.ErrorIs(e, err, errors.ErrUnsupported)
		e.send(a, encoded(e, []byte("goes on")), f)
		require.Equal(e, "goes on", string(e.receive(f, -1, a)))
		require.NoError(e, f.Close())
		_, err = f.Detach()
		assert.ErrorIs(e, err, net.ErrClosed)
		_, err = b.Detach()
		assert.ErrorIs(e, err, net.ErrClosed)
		require.NoError(e, a.Close(), "close")
	})
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e, err)
	defer l.Close()
	s, err := polled.Connect(t, "tcp", l.Addr().String(), nil)
	require.NoError(e, err)
	_, err = s.Detach()
	assert.ErrorIs(e, err, syscall.ENOTCONN)
	e.duty("the connection", func() bool { return s.Status() == polled.Established }, s)
	c, err := s.Detach()
	require.NoError(e, err)
	require.NoError(e, c.Close())
}

// sessionsDetachKeeps uses a message behind Detach, as one does that has to do with what comes next.
func sessionsDetachKeeps(e *Env) {
	e.bothWays(func(t *session.Engine) {
		want := sized(3000, 40_000)
		for _, parts := range []int{1, 2} {
			a, b := e.sessions(t)
			f := polled.NewFramed(b, codec, 0)
			wire := encoded(e, want[:parts]...)
			e.send(a, wire, f)
			var m []byte
			for range parts {
				e.duty("a message", func() bool {
					got, status, err := f.Read()
					require.NoError(e, err, "read")
					m = got
					return status == polled.Data
				}, a, f)
			}
			c, err := f.Detach()
			require.NoError(e, err)
			other, _ := e.sessions(t)
			g := polled.NewFramed(other, codec, 0)
			for range 20 { // uses what is free
				_, _, _ = g.Write(bytes.Repeat([]byte{0xdd}, 30_000))
				_, err := g.Drive()
				require.NoError(e, err)
			}
			assert.True(e, bytes.Equal(want[parts-1], m), "the message has changed behind Detach")
			require.NoError(e, c.Close(), "close the Conn")
			_ = g.Close()
			require.NoError(e, a.Close(), "close")
		}
	})
}

// sessionsInStages closes below layers while the peer sends on. It gets the answer.
func sessionsInStages(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		f := polled.NewFramed(polled.Bytes(polled.NewLiveness(polled.Bytes(b), time.Hour, 0)), codec, 0)
		e.send(f, []byte("no more"), a)
		require.NoError(e, f.CloseInStages())
		require.NoError(e, f.CloseInStages())
		require.NoError(e, f.Close())
		_, _, err := f.Read()
		assert.ErrorIs(e, err, net.ErrClosed)
		rest := Pattern(4 << 20)
		var got []byte
		e.duty("the end", func() bool {
			var err error
			rest, _, err = a.Write(rest)
			require.NoError(e, err, "the connection was reset while the peer sent; it has %d bytes of the answer", len(got))
			data, _, err := a.Read()
			got = append(got, data...)
			return err == io.EOF && len(rest) == 0
		}, a)
		assert.Equal(e, encoded(e, []byte("no more")), got)
		require.NoError(e, a.Close(), "close")
	})
}

// sessionsForgotten has connections that are reset before anybody accepts them.
func sessionsForgotten(e *Env) {
	e.bothWays(func(t *session.Engine) {
		if e.Network != "tcp" {
			return
		}
		a, err := polled.Listen(t, e.Network, e.Address(), &session.ListenOptions{MaxConns: 4})
		require.NoError(e, err)
		poll := e.pollsOf(t)
		for range 20 {
			p := e.dialPlain(a.Addr())
			e.duty("it waits", func() bool { return a.Stats().Streams == 1 }, poll)
			_, err = p.Write([]byte("and gone"))
			require.NoError(e, err)
			require.NoError(e, p.Reset())
			e.duty("it has ended", func() bool { return a.Stats().Streams == 0 }, poll)
		}
		_, ok, err := a.Accept()
		assert.False(e, ok, "a session that has ended was kept")
		assert.NoError(e, err)
		p := e.dialPlain(a.Addr())
		_, err = p.Write([]byte("here"))
		require.NoError(e, err)
		var s *polled.StreamSession
		e.duty("a session that lives", func() bool { s, ok, err = a.Accept(); return ok }, poll)
		require.Equal(e, "here", string(e.receive(s, 4)))
		require.NoError(e, s.Close(), "close")
		require.NoError(e, a.Close(), "close")
	})
}

// polls drives a Transport that its caller has to poll, and nothing else.
type polls struct{ t *session.Engine }

// Drive is a session's.
func (p polls) Drive() (polled.Activity, error) {
	n, err := p.t.Poll(0)
	if n > 0 {
		return polled.Active, err
	}
	return polled.Idle, err
}

// idles has nothing to do.
type idles struct{}

// Drive is a session's.
func (idles) Drive() (polled.Activity, error) { return polled.Idle, nil }

// pollsOf drives t, if it has to be driven.
func (e *Env) pollsOf(t *session.Engine) driver {
	if t == e.under {
		return idles{}
	}
	return polls{t}
}

// driveOn drives for a moment.
func (e *Env) driveOn(d driver) {
	e.Helper()
	for end := time.Now().Add(moment); time.Now().Before(end); time.Sleep(20 * time.Microsecond) {
		_, err := d.Drive()
		require.NoError(e, err, "drive")
	}
}

// sessionsUnaccepted has more connections than may wait unaccepted. The others wait in the backlog, and come later.
func sessionsUnaccepted(e *Env) {
	if !e.once() {
		return
	}
	const bound, most = 1024, 1024 + 3*64
	e.bothWays(func(t *session.Engine) {
		a, err := polled.Listen(t, e.Network, e.Address(), nil)
		require.NoError(e, err)
		poll := e.pollsOf(t)
		peers := make(chan []net.Conn, 1)
		go func() { peers <- e.many(most+100, a.Addr()) }()
		e.duty("many sessions that wait", func() bool { return a.Stats().Streams >= bound }, poll)
		for range 5 {
			e.driveOn(poll)
		}
		assert.LessOrEqual(e, a.Stats().Streams, most, "sessions that nobody has accepted")
		var all []*polled.StreamSession
		e.duty("all sessions", func() bool {
			s, ok, err := a.Accept()
			require.NoError(e, err)
			if ok {
				all = append(all, s)
			}
			return len(all) == most+100
		}, poll)
		for _, s := range all {
			require.NoError(e, s.Close(), "close")
		}
		for _, c := range arrives(e, peers) {
			_ = c.Close()
		}
		require.NoError(e, a.Close(), "close")
		e.duty("all have ended", func() bool { return t.Stats().Streams == 0 }, poll)
	})
}

// sessionsUnacceptedHold has a peer send to a session that nobody has accepted. It keeps a little, and no byte is lost.
func sessionsUnacceptedHold(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, err := polled.Listen(t, e.Network, e.Address(), nil)
		require.NoError(e, err)
		poll := e.pollsOf(t)
		p := e.dialPlain(a.Addr())
		want := Pattern(8 << 20)
		go func() {
			_, _ = p.Write(want)
			_ = p.CloseWrite()
		}()
		var before, now uint64
		e.duty("no more is taken", func() bool {
			before, now = now, t.Stats().BytesIn
			e.driveOn(poll)
			return now > 0 && now == before
		}, poll)
		assert.LessOrEqual(e, now, uint64(280<<10), "bytes of a session that nobody has accepted")
		var s *polled.StreamSession
		e.duty("the session", func() bool {
			var ok bool
			s, ok, err = a.Accept()
			require.NoError(e, err)
			return ok
		}, poll)
		got := e.receive(s, len(want))
		assert.True(e, bytes.Equal(want, got), "%d bytes came of %d, or they differ", len(got), len(want))
		require.NoError(e, s.Close(), "close")
		require.NoError(e, a.Close(), "close")
	})
}
