package backendtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on TLS. That the other rules hold with TLS, too, is what setups with TLS show.
var tlsRules = []Rule{
	{"T01_BothEnds", tlsBothEnds},
	{"T01_State", tlsState},
	{"T01_Resumption", tlsResumption},
	{"T01_WritesBeforeOnOpen", tlsEarlyWrites},
	{"T01_EndsAsItOpens", tlsEndsAsItOpens},
	{"T01_PiecesOfRecords", tlsPieces},
	{"T01_ManyWriters", tlsManyWriters},
	{"T01_EndsDuringWrites", tlsEndsDuringWrites},
	{"T01_Driven", tlsDriven},
	{"T01_DrivenByLockedThread", tlsDrivenLocked},
	{"T01_DrivenEndsElsewhere", tlsDrivenEnd},
	{"T01_DrivenLoopDies", tlsDrivenDeath},
	{"T02_SilentPeersHaveNoGoroutine", tlsSilent},
	{"T02_NoMoreThanTheLimit", tlsLimit},
	{"T02_StalledPeersStopNobody", tlsStalled},
	{"T04_StartTLS", startTLS},
	{"T04_HelloBehindTheLastPlainByte", startTLSPipelined},
	{"T04_UnreadPlainBytes", startTLSUnread},
}

// listenTLS listens with h, until the rule ends.
func (e *Env) listenTLS(t *session.Engine, h *Hooks, o *session.ListenOptions) net.Addr {
	e.Helper()
	if o.TLS == nil {
		o.TLS = serverTLS()
	}
	return e.listenWith(t, h, o)
}

// rawPeer connects a net.Conn.
func (e *Env) rawPeer(a net.Addr) net.Conn {
	e.Helper()
	return e.many(1, a)[0]
}

// tlsPeer connects a Conn of crypto/tls.
func (e *Env) tlsPeer(a net.Addr, c *tls.Config) *tls.Conn {
	e.Helper()
	conn := tls.Client(e.rawPeer(a), c)
	require.NoError(e, conn.Handshake(), "the peer's handshake")
	return conn
}

// echoes checks that a peer gets back what it sends.
func (e *Env) echoes(p io.ReadWriter, n int) {
	e.Helper()
	want := Pattern(n)
	sent := make(chan error, 1)
	go func() {
		_, err := p.Write(want)
		sent <- err
	}()
	got := make([]byte, n)
	k, err := io.ReadFull(p, got)
	require.NoError(e, err, "%d of %d bytes came back", k, n)
	require.True(e, bytes.Equal(want, got), "what came back is not what was sent")
	require.NoError(e, <-sent)
}

// tlsBothEnds has two streams of the Transport talk to each other.
func tlsBothEnds(e *Env) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := serverTLS()
		server.MaxVersion = version
		a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{TLS: server})
		h := NewHooks()
		h.env(e)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		s, err := e.Under().Dial(ctx, a.Network(), a.String(), h, &session.DialOptions{TLS: clientTLS()})
		cancel()
		require.NoError(e, err, "dial")
		state, ok := s.TLS()
		require.True(e, ok, "Dial has returned, and there is no TLS")
		assert.Equal(e, version, state.Version)
		want := Pattern(500_000)
		_, err = s.Write(want)
		require.NoError(e, err)
		e.Eventually(func() bool { return len(h.Got()) >= len(want) }, "the echo of %d bytes", len(want))
		h.gotAll(want)
		require.NoError(e, s.Close())
		h.closedWith(nil)
	}
}

// tlsEndsAsItOpens has several goroutines detach a stream of Connect until one can, which is as soon as its handshake is done:
// OnClose gets no error, so OnOpen was called before.
func tlsEndsAsItOpens(e *Env) {
	if !e.once() {
		return
	}
	a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{})
	client := clientTLS()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for range 30 {
		h := NewHooks()
		h.env(e)
		s, err := e.Under().Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: client})
		require.NoError(e, err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				c, err := s.Detach()
				for began := time.Now(); errors.Is(err, syscall.ENOTCONN) && time.Since(began) < patience; {
					c, err = s.Detach()
				}
				if err == nil {
					assert.NoError(e, c.Close())
				} else {
					assert.Equal(e, net.ErrClosed, err, "another one was first")
				}
			})
		}
		h.closedWith(nil)
		all.Wait()
		require.Equal(e, 1, h.Count("OnOpen"), "calls of OnOpen")
	}
}

// tlsState looks at ALPN, the server's name and the client's certificate, which are known in OnOpen.
func tlsState(e *Env) {
	server := serverTLS()
	server.NextProtos, server.ClientAuth = []string{"h2", "echo"}, tls.RequireAndVerifyClientCert
	states := make(chan session.TLSState, 1)
	h := echo()
	h.Open = func(s *session.Stream) {
		state, ok := s.TLS()
		assert.True(e, ok, "OnOpen without TLS")
		states <- state
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{TLS: server})
	client := clientTLS()
	cert, _ := authority()
	client.NextProtos, client.Certificates = []string{"echo"}, []tls.Certificate{cert}
	c := e.tlsPeer(a, client)
	e.echoes(c, 1000)
	state := arrives(e, states)
	assert.Equal(e, "echo", state.NegotiatedProtocol)
	assert.Equal(e, serverName, state.ServerName)
	assert.Len(e, state.PeerCertificates, 1, "the client's certificates")
	assert.False(e, state.Truncated)
	e.Eventually(func() bool { return e.Under().Stats().TLSHandshakes == 1 }, "a count of one handshake") // when the turn has ended
}

// tlsResumption dials twice with a cache of sessions. Tickets come behind the handshake, on the loop.
func tlsResumption(e *Env) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := serverTLS()
		server.MaxVersion = version
		a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{TLS: server})
		client := clientTLS()
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for i := range 2 {
			h := NewHooks()
			h.env(e)
			s, err := e.Under().Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: client})
			require.NoError(e, err)
			_, err = s.Write([]byte("hello"))
			require.NoError(e, err)
			e.Eventually(func() bool { return len(h.Got()) == 5 }, "the echo")
			state, _ := s.TLS()
			assert.Equal(e, i == 1, state.DidResume, "version %x, connection %d", version, i+1)
			require.NoError(e, s.Close())
			h.closedWith(nil)
		}
	}
}

// tlsEarlyWrites writes before the handshake, from several goroutines, and closes at once.
func tlsEarlyWrites(e *Env) {
	a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{})
	h := NewHooks()
	h.env(e)
	s, err := e.Under().Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: clientTLS()})
	require.NoError(e, err)
	want := Pattern(100_000)
	told := make(chan error, 100)
	for i := 0; i < len(want); i += 1000 {
		require.NoError(e, s.WriteNotify(want[i:i+1000], func(err error) { told <- err }))
	}
	e.Eventually(func() bool { return len(h.Got()) >= len(want) }, "the echo of what was written before OnOpen")
	h.gotAll(want)
	for range 100 {
		assert.NoError(e, arrives(e, told))
	}
	require.NoError(e, s.CloseWrite())
	h.closedWith(nil)
}

// tlsPieces has a peer whose bytes come one at a time, handshake included.
func tlsPieces(e *Env) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		h := echo()
		a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
		client := clientTLS()
		client.MaxVersion = version
		c := tls.Client(splitting{e.rawPeer(a)}, client)
		e.echoes(c, 300)
		require.NoError(e, c.CloseWrite())
		n, err := c.Read(make([]byte, 1))
		assert.Zero(e, n)
		assert.Equal(e, io.EOF, err, "the end")
		h.closedWith(nil)
	}
}

// splitting sends one byte at a time.
type splitting struct{ net.Conn }

func (c splitting) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// tlsManyWriters writes from many goroutines and from the loop. The bytes of each call stay together.
func tlsManyWriters(e *Env) {
	const writers, writes, size = 8, 50, 997
	h := NewHooks()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	s := h.Opened()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			p := bytes.Repeat([]byte{byte(w)}, size)
			for i := range writes {
				if i%5 == 0 {
					_ = s.Post(func() { _, _ = s.Write(p) })
					continue
				}
				_, _ = s.Write(p)
			}
		})
	}
	got := make([]byte, writers*writes*size)
	k, err := io.ReadFull(c, got)
	require.NoError(e, err, "%d bytes came", k)
	all.Wait()
	for i := 0; i < len(got); i += size {
		require.Equal(e, bytes.Repeat(got[i:i+1], size), got[i:i+size], "write %d", i/size)
	}
}

// tlsEndsDuringWrites ends streams while a write is being encrypted on another goroutine. It was admitted, so its bytes
// come before close_notify.
func tlsEndsDuringWrites(e *Env) {
	ends := map[string]func(*session.Stream) error{"Close": (*session.Stream).Close, "CloseWrite": (*session.Stream).CloseWrite}
	writes := map[string]func(*session.Stream, []byte, func(error)) error{
		"Write": func(s *session.Stream, p []byte, told func(error)) error {
			told(nil)
			_, err := s.Write(p)
			return err
		},
		"WriteNotify": (*session.Stream).WriteNotify,
	}
	for end, finish := range ends {
		for name, write := range writes {
			held, h, s, c := e.holdWrites()
			result, told := make(chan error, 1), make(chan error, 1)
			go func() { result <- write(s, []byte("rest"), func(err error) { told <- err }) }()
			arrives(e, held.reads)
			next := make(chan struct{}, 1)
			require.NoError(e, s.Post(func() {
				assert.NoError(e, s.Post(func() { next <- struct{}{} }), "Post")
				assert.NoError(e, finish(s), end)
			}))
			arrives(e, next) // the loop has looked at the stream, and makes another turn
			held.letGo()
			assert.NoError(e, arrives(e, result), "%s during %s", end, name)
			assert.NoError(e, arrives(e, told), "%s during %s", end, name)
			got, err := io.ReadAll(c)
			assert.NoError(e, err, "%s during %s: the end", end, name)
			assert.Equal(e, "rest", string(got), "%s during %s", end, name)
			_ = c.CloseWrite() // the other end may have gone
			h.closedWith(nil)
		}
	}
}

// heldReader is a source of random bytes that can be held back.
type heldReader struct {
	hold    atomic.Bool
	reads   chan struct{} // gets something for each Read that waits
	release chan struct{}
}

func (r *heldReader) Read(p []byte) (int, error) {
	if r.hold.Load() {
		r.reads <- struct{}{}
		<-r.release
	}
	return rand.Read(p)
}

// letGo ends the wait.
func (r *heldReader) letGo() {
	r.hold.Store(false)
	close(r.release)
}

// recordsFrom makes a Config whose cipher takes random bytes from r for each record.
func recordsFrom(r io.Reader) *tls.Config {
	c := serverTLS()
	c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	c.Rand = r
	return c
}

// holdWrites opens a stream whose writes wait, as they are encrypted, for random bytes, which are held back.
func (e *Env) holdWrites() (*heldReader, *Hooks, *session.Stream, *tls.Conn) {
	e.Helper()
	held, h := &heldReader{reads: make(chan struct{}, 10), release: make(chan struct{})}, NewHooks()
	p := e.tlsPeer(e.listenTLS(e.Under(), h, &session.ListenOptions{TLS: recordsFrom(held)}), clientTLS())
	s := h.Opened()
	held.hold.Store(true)
	return held, h, s, p
}

// startTLS begins in plain, and goes on encrypted.
func startTLS(e *Env) {
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		b, _ := s.Next(-1)
		if _, ok := s.TLS(); !ok && string(b) == "STARTTLS\n" {
			_, _ = s.Write([]byte("go\n"))
			assert.NoError(e, s.StartTLS(serverTLS(), true))
			assert.Error(e, s.StartTLS(serverTLS(), true), "StartTLS twice")
			b = []byte("welcome\n")
		}
		_, _ = s.Write(b)
	}
	s, p := e.Pair(h, session.StreamOptions{})
	raw, ok := p.(plainPeer)
	if !ok {
		e.Skip("the peer is a stream")
	}
	_, err := p.Write([]byte("STARTTLS\n"))
	require.NoError(e, err)
	require.Equal(e, "go\n", string(e.ReadAll(p, 3)), "what was written before StartTLS is plain")
	c := tls.Client(raw, clientTLS())
	require.NoError(e, c.Handshake(), "the peer's handshake")
	got := make([]byte, 8)
	_, err = io.ReadFull(c, got)
	require.NoError(e, err)
	require.Equal(e, "welcome\n", string(got), "what was written behind StartTLS")
	e.echoes(c, 100_000)
	state, ok := s.TLS()
	assert.True(e, ok)
	assert.True(e, state.HandshakeComplete)
	require.NoError(e, c.CloseWrite())
	h.closedWith(nil)
}

// startTLSPipelined has a client that does not wait for the answer.
func startTLSPipelined(e *Env) {
	h := NewHooks()
	started := false
	h.Data = func(s *session.Stream) {
		if !started {
			started = true
			_, _ = s.Next(1)
			assert.NoError(e, s.StartTLS(serverTLS(), true))
			return
		}
		b, _ := s.Next(-1)
		_, _ = s.Write(b)
	}
	_, p := e.Pair(h, session.StreamOptions{})
	raw, ok := p.(plainPeer)
	if !ok {
		e.Skip("the peer is a stream")
	}
	c := tls.Client(&prefixed{halfCloser: raw, prefix: []byte("S")}, clientTLS())
	require.NoError(e, c.Handshake(), "a handshake right behind the last plain byte")
	e.echoes(c, 1000)
}

// prefixed sends something in front of its first write.
type prefixed struct {
	halfCloser
	prefix []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	n := len(p.prefix)
	k, err := p.halfCloser.Write(append(p.prefix, b...))
	p.prefix = nil
	return max(k-n, 0), err
}

// startTLSUnread leaves plain bytes unread, which are read in front of those that come encrypted.
func startTLSUnread(e *Env) {
	h := NewHooks()
	var got []byte
	started := false
	done := make(chan string, 1)
	h.Data = func(s *session.Stream) {
		if !started {
			if s.Buffered() < 9 {
				return
			}
			started = true
			_, _ = s.Next(4)
			_, _ = s.Write([]byte("!"))
			assert.NoError(e, s.StartTLS(serverTLS(), true))
			return
		}
		b, _ := s.Next(-1)
		if got = append(got, b...); len(got) == 10 {
			done <- string(got)
		}
	}
	_, p := e.Pair(h, session.StreamOptions{})
	raw, ok := p.(plainPeer)
	if !ok {
		e.Skip("the peer is a stream")
	}
	_, err := p.Write([]byte("TLS\nplain"))
	require.NoError(e, err)
	e.ReadAll(p, 1)
	c := tls.Client(raw, clientTLS())
	_, err = c.Write([]byte("crypt"))
	require.NoError(e, err)
	assert.Equal(e, "plaincrypt", arrives(e, done))
}
