package tandem_test

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// overWire runs a test on each backend, with one Transport and a wire.
func overWire(t *testing.T, test func(*wire, tandem.Transport)) {
	asRoot(t)
	faults(t, process{network: true}, func(t *testing.T, b tandem.Backend) {
		files := openFiles()
		w := newWire(t)
		o := silent(b)
		tr, err := tandem.Open(&o)
		require.NoError(t, err)
		files++ // that of Go's poller, which may be younger
		test(w, tr)
		nothingLeft(t, tr, files)
	})
}

// accepted returns a stream of h that the far peer has connected to, and the peer.
func (w *wire) accepted(tr tandem.Transport, h *recorder, o *tandem.ListenOptions) (*tandem.Stream, *net.TCPConn) {
	w.t.Helper()
	l, err := tr.Listen("tcp", nearAddress, h, o)
	require.NoError(w.t, err)
	c := w.dial(to(nearIP, l.Addr().String()))
	s := arrives(w.t, h.opened, "OnOpen")
	require.NoError(w.t, l.Close())
	return s, c
}

// resetBy makes the far kernel answer everything with RST.
const resetBy = "meta l4proto tcp counter reject with tcp reset"

// TestFaultResetBehindBytes has the kernel receive a reset while bytes wait in it: they are delivered first, as S18 says.
func TestFaultResetBehindBytes(t *testing.T) {
	t.Parallel()
	overWire(t, func(w *wire, tr tandem.Transport) {
		h := newRecorder()
		s, c := w.accepted(tr, h, nil)
		held, release := make(chan struct{}), make(chan struct{})
		require.NoError(w.t, s.Post(func() { close(held); <-release }))
		arrives(w.t, held, "the function that holds up the loop")
		const size = 40_000
		_, err := c.Write(patternAt(0, size))
		require.NoError(w.t, err)
		acknowledged(w.t, c)
		undo := w.filter("input", resetBy)
		_, err = s.Write([]byte("x")) // is answered with a reset
		require.NoError(w.t, err)
		becomes(w.t, func() bool { return failed(s) }, "the reset")
		close(release)
		assert.ErrorIs(w.t, arrives(w.t, h.closed, "OnClose"), syscall.ECONNRESET)
		assert.EqualValues(w.t, size, h.got.Load(), "bytes that were delivered before")
		assert.False(w.t, h.wrong.Load(), "wrong bytes")
		assert.Zero(w.t, h.ended.Load(), "calls of OnEOF")
		undo()
	})
}

// failed reports whether the kernel has an error of the connection: TCP_CLOSE, tcp(7).
func failed(s *tandem.Stream) bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	return tcpState(raw) == tcpClose
}

// TestFaultResetInTheMiddle injects a reset into the middle of a transfer in both directions. What was delivered is the
// beginning of what was sent.
func TestFaultResetInTheMiddle(t *testing.T) {
	t.Parallel()
	overWire(t, func(w *wire, tr tandem.Transport) {
		h := newRecorder()
		s, c := w.accepted(tr, h, &tandem.ListenOptions{StreamOptions: tandem.StreamOptions{ReadWhileBlocked: true}})
		told := make(chan error, 1)
		require.NoError(w.t, s.WriteNotify(make([]byte, 8<<20), func(err error) { told <- err }))
		go func() { _ = sendPattern(c, 0, 1<<40) }()
		becomes(w.t, func() bool { return h.got.Load() > 1<<20 }, "the beginning of a transfer")
		undo := w.filter("input", resetBy)
		assert.ErrorIs(w.t, arrives(w.t, h.closed, "OnClose"), syscall.ECONNRESET)
		assert.ErrorIs(w.t, arrives(w.t, told, "the function of WriteNotify"), syscall.ECONNRESET)
		assert.False(w.t, h.wrong.Load(), "wrong bytes among %d", h.got.Load())
		assert.Zero(w.t, h.ended.Load(), "calls of OnEOF")
		undo()
	})
}

// TestFaultPeerVanishes has a peer vanish without a word. TCP_USER_TIMEOUT and keep-alive end the stream.
func TestFaultPeerVanishes(t *testing.T) {
	t.Parallel()
	timeout := []tandem.SocketOption{tandem.UserTimeout(time.Second)}
	drop := func(w *wire) { w.filter("input", "meta l4proto tcp counter drop") }
	for name, k := range map[string]struct {
		options []tandem.SocketOption
		vanish  func(*wire)
		writes  bool
		errors  []error
	}{
		"dropped": {timeout, drop, true, []error{syscall.ETIMEDOUT}},
		// The kernel has asked for the peer's hardware address in vain by then.
		"peer's link down": {timeout, func(w *wire) { w.link(w.far, "down") }, true, []error{syscall.ETIMEDOUT, syscall.EHOSTUNREACH}},
		"link down":        {timeout, func(w *wire) { w.link(w.near, "down") }, true, []error{syscall.ETIMEDOUT, syscall.ENETUNREACH, syscall.EHOSTUNREACH}},
		"keep-alive":       {[]tandem.SocketOption{tandem.KeepAlive(time.Second, time.Second, 1)}, drop, false, []error{syscall.ETIMEDOUT}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overWire(t, func(w *wire, tr tandem.Transport) {
				h := newRecorder()
				s, _ := w.accepted(tr, h, &tandem.ListenOptions{Socket: k.options})
				k.vanish(w)
				began := time.Now()
				if k.writes {
					_, err := s.Write(make([]byte, 1000))
					require.NoError(w.t, err)
				}
				err := arrives(w.t, h.closed, "OnClose")
				assert.GreaterOrEqual(w.t, time.Since(began), 900*time.Millisecond, "the time until OnClose")
				var op *net.OpError
				require.ErrorAs(w.t, err, &op)
				assert.Condition(w.t, func() bool { return isOneOf(err, k.errors) }, "OnClose was told %v", err)
				assert.NotNil(w.t, op.Addr, "the peer's address")
				assert.Zero(w.t, h.ended.Load(), "calls of OnEOF")
			})
		})
	}
}

func isOneOf(err error, all []error) bool {
	for _, one := range all {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// TestFaultBlackHole dials where nothing answers. A dial ends with its context and with its Timeout, and leaves nothing.
func TestFaultBlackHole(t *testing.T) {
	t.Parallel()
	overWire(t, func(w *wire, tr tandem.Transport) {
		_, err := tr.Dial(w.t.Context(), "tcp", farIP+":9", newRecorder(), nil) // nobody listens, and the wire carries that
		require.ErrorIs(w.t, err, syscall.ECONNREFUSED)
		undo := w.filter("input", "meta l4proto tcp counter drop")
		files, h := openFiles(), newRecorder()
		const at = farIP + ":9"
		ctx, cancel := context.WithTimeout(w.t.Context(), during)
		defer cancel()
		began := time.Now()
		_, err = tr.Dial(ctx, "tcp", at, h, nil)
		assert.GreaterOrEqual(w.t, time.Since(began), during, "the time of a dial")
		timedOut(w.t, err)
		_, err = tr.Dial(w.t.Context(), "tcp", at, h, &tandem.DialOptions{Timeout: during})
		timedOut(w.t, err)
		_, err = tr.Connect("tcp", at, h, &tandem.DialOptions{Timeout: during})
		require.NoError(w.t, err)
		timedOut(w.t, arrives(w.t, h.closed, "OnClose of a dial with a Timeout"))
		ctx, cancel = context.WithCancel(w.t.Context())
		time.AfterFunc(during/3, cancel)
		_, err = tr.Dial(ctx, "tcp", at, h, nil)
		assert.ErrorIs(w.t, err, context.Canceled)
		s, err := tr.Connect("tcp", at, h, nil)
		require.NoError(w.t, err)
		require.NoError(w.t, s.Abort())
		assert.ErrorIs(w.t, arrives(w.t, h.closed, "OnClose of a dial that was aborted"), net.ErrClosed)
		becomes(w.t, func() bool { return openFiles() <= files }, "no descriptor of a dial that has ended")
		assert.Empty(w.t, h.opened, "streams")
		undo()
	})
}

// timedOut checks the error of a dial whose time is over.
func timedOut(t *testing.T, err error) {
	t.Helper()
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.True(t, op.Timeout(), "Timeout() of %v", err)
	assert.Equal(t, "dial", op.Op)
	assert.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
}

// TestFaultUnreachable dials an address whose link is down: the error is that of package net.
func TestFaultUnreachable(t *testing.T) {
	t.Parallel()
	overWire(t, func(w *wire, tr tandem.Transport) {
		w.setting("net.ipv4.neigh."+device+".retrans_time_ms", "100")
		for name, link := range map[string]func(...string) string{"peer's link": w.far, "link": w.near} {
			w.link(link, "down")
			_, want := net.DialTimeout("tcp", farIP+":9", patience)
			require.Error(w.t, want)
			_, got := tr.Dial(w.t.Context(), "tcp", farIP+":9", newRecorder(), nil)
			require.Error(w.t, got)
			assert.Equal(w.t, want.Error(), got.Error(), name)
			for _, errno := range []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
				assert.Equal(w.t, errors.Is(want, errno), errors.Is(got, errno), "%s: whether the error is %v", name, errno)
			}
			w.link(link, "up")
		}
	})
}

// TestFaultFullBacklog has connections wait for a listener that does not accept, in its backlog and before it. All of
// them are served when it goes on.
func TestFaultFullBacklog(t *testing.T) {
	t.Parallel()
	const n = 6
	overWire(t, func(w *wire, tr tandem.Transport) {
		l, err := tr.Listen("tcp", nearAddress, echoHandler{}, &tandem.ListenOptions{Backlog: 1})
		require.NoError(w.t, err)
		l.PauseAccept()
		time.Sleep(during / 3) // an accept that was in flight has come back
		address := to(nearIP, l.Addr().String())
		type result struct {
			c   net.Conn
			err error
		}
		results := make(chan result, n)
		for range n {
			go w.eachOnFar(func() { c, err := net.DialTimeout("tcp", address, patience); results <- result{c, err} })
		}
		becomes(w.t, func() bool { return len(results) >= 2 }, "2 connections in the backlog")
		_, err = tr.Dial(w.t.Context(), "tcp", address, newRecorder(), &tandem.DialOptions{Timeout: 2 * during})
		timedOut(w.t, err)
		l.ResumeAccept()
		for range n {
			r := arrives(w.t, results, "a dial that waits for the backlog")
			require.NoError(w.t, r.err)
			x := begin(r.c, 1000)
			assert.NoError(w.t, arrives(w.t, x.done, "the echo of a connection that has waited"))
			_ = r.c.Close()
		}
		require.NoError(w.t, l.Close())
	})
}
