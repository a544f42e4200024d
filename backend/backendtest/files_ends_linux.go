package backendtest

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// fileEnd is a way in which a stream ends.
type fileEnd struct {
	name string
	end  func(t *session.Engine, s *session.Stream, p *net.UnixConn)
	sent bool // the peer gets what is queued
}

func (e *Env) fileEnds() []fileEnd {
	inLoop := func(fn func()) func(*session.Engine, *session.Stream, *net.UnixConn) {
		return func(_ *session.Engine, s *session.Stream, _ *net.UnixConn) { assert.NoError(e, s.Post(fn)) }
	}
	return []fileEnd{
		{"Abort", func(_ *session.Engine, s *session.Stream, _ *net.UnixConn) { _ = s.Abort() }, false},
		{"Close", func(_ *session.Engine, s *session.Stream, _ *net.UnixConn) { _ = s.Close() }, true},
		{"CloseWrite and the peer's end", func(_ *session.Engine, s *session.Stream, p *net.UnixConn) {
			_ = s.CloseWrite()
			_ = p.CloseWrite()
		}, true},
		{"the peer's close", func(_ *session.Engine, _ *session.Stream, p *net.UnixConn) { _ = p.Close() }, false},
		{"a panic", inLoop(func() { panic("for the test") }), false},
		{"Close of the Transport", func(t *session.Engine, _ *session.Stream, _ *net.UnixConn) {
			go func() { assert.NoError(e, t.Close()) }()
		}, false},
		{"Shutdown", func(t *session.Engine, _ *session.Stream, _ *net.UnixConn) {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				assert.NoError(e, t.Shutdown(ctx))
			}()
		}, true},
		{"the loop's death", func(_ *session.Engine, s *session.Stream, _ *net.UnixConn) { e.goexit(s) }, false},
	}
}

// filesAtEveryEnd ends streams that have files queued, bytes in front of them, and files that nobody has taken.
func filesAtEveryEnd(e *Env) {
	if !e.passesFiles() {
		return
	}
	for _, end := range e.fileEnds() {
		e.Scenario(end.name, func() {
			t, _ := e.openLogging(func(o *Options) { o.Loops = 1 })
			h := NewHooks()
			h.Data = func(*session.Stream) {}
			s, p := e.unixPair(t, h, session.StreamOptions{ReceiveFiles: 4})
			came, cameGone := e.canary()
			require.NoError(e, e.pass(p, "unread", came))
			e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
			e.fillQueue(s)
			queued, queuedGone := e.canary()
			require.NoError(e, s.WriteFiles([]byte("m"), queued))
			require.NoError(e, queued.Close())

			end.end(t, s, p)
			if end.sent {
				n := 0
				for {
					got, files, err := e.receiveSome(p, 1<<20)
					if n += len(files); err != nil {
						break
					}
					closeAll(files)
					if len(got) > 0 && got[len(got)-1] == 'm' && len(files) > 0 {
						break
					}
				}
				assert.Equal(e, 1, n, "files that were queued before the stream was closed")
			}
			_ = h.Closed()
			cameGone("it had come and nobody took it")
			queuedGone("it was queued")
			assert.Equal(e, net.ErrClosed, s.WriteFiles([]byte("m"), os.Stdin))
			_ = p.Close()
		})
	}
}

// filesUntaken takes files in OnClose, and leaves some. The loop is the caller's, where they are closed at once.
func filesUntaken(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	h.Close = func(s *session.Stream, _ error) { assert.Equal(e, upTo(2), e.numbers(s.TakeFiles())) }
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 4})
	require.NoError(e, e.pass(p, "m", e.numbered(0, 2)...))
	e.Eventually(func() bool { return h.Len() == 1 }, "the byte")
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())

	a, b := e.connPair("unix")
	defer b.Close()
	t := e.Open(func(o *Options) { o.CallerDriven, o.Stream.ReceiveFiles = true, 4 })
	h = NewHooks()
	h.env(e)
	s, err := t.Adopt(a.(*net.UnixConn), h)
	require.NoError(e, err)
	came, cameGone := e.canary()
	require.NoError(e, e.pass(b.(*net.UnixConn), "m", came))
	for h.Len() == 0 {
		_, err := t.Poll(patience)
		require.NoError(e, err)
	}
	sent, sentGone := e.canary()
	require.NoError(e, s.WriteFiles([]byte("m"), sent))
	require.NoError(e, sent.Close())
	require.NoError(e, s.Close())
	for h.Count("OnClose") == 0 {
		_, err := t.Poll(patience)
		require.NoError(e, err)
	}
	cameGone("nobody took it")
	_, files, err := e.receiveSome(b.(*net.UnixConn), 10)
	require.NoError(e, err)
	require.Len(e, files, 1)
	closeAll(files)
	sentGone("it was sent and received")
}

// filesBehindAReset has a peer send files and close with unread bytes, which is a reset. What it has sent is delivered.
func filesBehindAReset(e *Env) {
	if !e.passesFiles() {
		return
	}
	var got []int
	h := NewHooks()
	h.Open = func(s *session.Stream) { _, _ = s.Write([]byte("unread")) }
	h.Data = func(s *session.Stream) {
		got = append(got, e.numbers(s.TakeFiles())...)
		h.Collect(s)
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	s, p := e.unixPair(t, h, session.StreamOptions{ReceiveFiles: 2})
	release := e.held(t)
	for i := range 20 {
		require.NoError(e, e.pass(p, "m", e.numbered(i, 1)...))
	}
	_, err := s.Write([]byte("unread, too"))
	require.NoError(e, err)
	require.NoError(e, p.Close())
	release()
	assert.ErrorIs(e, h.Closed(), unix.ECONNRESET)
	assert.Equal(e, upTo(20), got)
	assert.Equal(e, 20, h.Len(), "bytes")
}

// detachedWithFiles is the Conn of a stream to which a peer has sent "unread" with files, and that peer.
func (e *Env) detachedWithFiles(t *session.Engine, files ...*os.File) (net.Conn, *net.UnixConn) {
	e.Helper()
	h := NewHooks()
	h.Data = func(*session.Stream) {}
	s, p := e.unixPair(t, h, session.StreamOptions{})
	require.NoError(e, e.pass(p, "unread", files...))
	e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
	c, err := s.Detach()
	require.NoError(e, err)
	assert.NoError(e, h.Closed())
	return c, p
}

// filesAndDetach hands streams over with files that nobody has taken, and adopts their Conns.
func filesAndDetach(e *Env) {
	if !e.passesFiles() {
		return
	}
	type taker interface{ TakeFiles() []*os.File }
	t := e.Open(func(o *Options) { o.Stream.ReceiveFiles = 4 })
	c, _ := e.detachedWithFiles(t, e.numbered(0, 3)...)
	require.NoError(e, c.SetReadDeadline(time.Now().Add(patience)))
	assert.Equal(e, upTo(3), e.numbers(c.(taker).TakeFiles()))
	assert.Empty(e, c.(taker).TakeFiles())
	b := make([]byte, 20)
	n, err := c.Read(b)
	require.NoError(e, err)
	assert.Equal(e, "unread", string(b[:n]))
	require.NoError(e, c.Close())

	f, gone := e.canary()
	c, _ = e.detachedWithFiles(t, f)
	require.NoError(e, c.Close())
	gone("the Conn was closed and nobody had taken it")
	assert.Empty(e, c.(taker).TakeFiles())

	c, p := e.detachedWithFiles(t, e.numbered(0, 2)...)
	h := NewHooks()
	h.env(e)
	var got []int
	h.Data = func(s *session.Stream) {
		got = append(got, e.numbers(s.TakeFiles())...)
		h.Collect(s)
	}
	s, err := t.Adopt(c.(interface {
		net.Conn
		SyscallConn() (syscall.RawConn, error)
	}), h)
	require.NoError(e, err)
	require.NoError(e, e.pass(p, "more", e.numbered(2, 1)...))
	e.Eventually(func() bool { return h.Len() == 10 }, "all bytes")
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())
	assert.Equal(e, upTo(3), got)

	f, gone = e.canary()
	c, _ = e.detachedWithFiles(t, f)
	h = NewHooks()
	h.env(e)
	s, err = t.Adopt(c.(interface {
		net.Conn
		SyscallConn() (syscall.RawConn, error)
	}), h)
	require.NoError(e, err)
	require.NoError(e, s.Abort())
	_ = h.Closed()
	gone("the Conn was adopted and the stream aborted")
}

// filesAndTLS begins TLS on a stream that receives files.
func filesAndTLS(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	s, p := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 4})
	e.fillQueue(s)
	f, gone := e.canary()
	require.NoError(e, s.WriteFiles([]byte("m"), f))
	e.onLoop(s, func() {
		err := s.StartTLS(serverTLS(), true)
		e.opError(err, "tls", "unix")
		assert.ErrorIs(e, err, unix.EBUSY)
	})
	require.NoError(e, s.Abort())
	_ = h.Closed()
	_ = p.Close()

	s, p = e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 4})
	e.onLoop(s, func() { require.NoError(e, s.StartTLS(serverTLS(), true)) })
	err := s.WriteFiles([]byte("m"), f)
	e.opError(err, "write", "unix")
	require.NoError(e, e.pass(p, "this is no TLS, and has a file", f))
	_ = h.Closed()
	gone("TLS carries none")
}

// filesAndRelay relays between streams of which one has a file waiting, and gets more.
func filesAndRelay(e *Env) {
	if !e.passesFiles() {
		return
	}
	h := NewHooks()
	h.Data = func(*session.Stream) {}
	a, pa := e.unixPair(e.Under(), h, session.StreamOptions{ReceiveFiles: 4})
	b, pb := e.unixPair(e.Under(), NewHooks(), session.StreamOptions{ReceiveFiles: 4})
	waiting, waitingGone := e.canary()
	require.NoError(e, e.pass(pa, "waits, ", waiting))
	e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
	ended := make(chan error, 1)
	require.NoError(e, session.Relay(a, b, &session.RelayOptions{OnDone: func(err error, _ session.RelayStats) { ended <- err }}))
	e.handedOver(a, b)
	waitingGone("it waited when the relay began")
	later, laterGone := e.canary()
	require.NoError(e, e.pass(pa, "comes", later))
	assert.Equal(e, "waits, comes", string(e.ReadAll(plainPeer{pb}, 12)))
	laterGone("a relay passes none on")
	require.NoError(e, pa.Close())
	require.NoError(e, pb.Close())
	assert.NoError(e, arrives(e, ended))
}
