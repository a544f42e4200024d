package backendtest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on peers that get TLS wrong.
var tlsFailureRules = []Rule{
	{"T03_Truncated", tlsTruncated},
	{"T03_CutInARecord", tlsCut},
	{"T03_CloseNotify", tlsCloseNotify},
	{"T03_FailedHandshakes", tlsFailedHandshakes},
	{"T03_HandshakeTimeout", tlsTimeout},
	{"T03_PlainRequest", tlsPlainRequest},
	{"T03_FailedDials", tlsFailedDials},
	{"T03_DialsThatEnd", tlsDialsThatEnd},
	{"T03_GarbageBehindTheHandshake", tlsGarbage},
	{"T03_PanicInTheConfig", tlsPanic},
	{"T03_BadConfigs", tlsBadConfigs},
}

// tlsSilent has peers that connect and say nothing, or a part of a record.
func tlsSilent(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	before := runtime.NumGoroutine()
	if e.Goroutines {
		before += 50
	}
	for i := range 50 {
		c := e.rawPeer(a)
		if i%2 == 0 {
			_, err := c.Write([]byte{22, 3, 1, 1, 0, 1})
			require.NoError(e, err)
		}
	}
	e.Eventually(func() bool { return e.Under().Stats().Streams == 50 }, "50 connections")
	assert.LessOrEqual(e, runtime.NumGoroutine(), before+5, "goroutines")
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
	assert.Zero(e, h.Count("OnClose"))
}

// tlsLimit counts how many handshakes run at once.
func tlsLimit(e *Env) {
	const limit, peers = 3, 12
	t := e.Open(func(o *Options) { o.Handshakes, o.Loops = limit, 1 })
	var now, most atomic.Int32
	server := serverTLS()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond) // so that others are at it meanwhile, if they may be
		now.Add(-1)
		return nil, nil
	}
	a := e.listenTLS(t, echo(), &session.ListenOptions{TLS: server})
	results := make(chan error, peers)
	for range peers {
		go func() {
			c, err := net.DialTimeout(a.Network(), a.String(), patience)
			if err == nil {
				_ = c.SetDeadline(time.Now().Add(patience))
				err = tls.Client(c, clientTLS()).Handshake()
				_ = c.Close()
			}
			results <- err
		}()
	}
	for range peers {
		require.NoError(e, arrives(e, results))
	}
	assert.LessOrEqual(e, most.Load(), int32(limit), "handshakes at once")
	assert.Positive(e, most.Load())
}

// tlsStalled has as many peers as there may be handshakes say hello, and then nothing.
func tlsStalled(e *Env) {
	t := e.Open(func(o *Options) { o.Handshakes, o.Loops = 2, 1 })
	a := e.listenTLS(t, echo(), &session.ListenOptions{})
	for range 5 {
		c := tls.Client(mute{e.rawPeer(a)}, clientTLS())
		go func() { _ = c.Handshake() }()
	}
	e.Eventually(func() bool { return t.Stats().Streams == 5 && t.Stats().TLSOverhead > 0 }, "the hellos of those that stall")
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
}

// mute reads nothing until it is closed.
type mute struct{ net.Conn }

func (c mute) Read([]byte) (int, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := c.Conn.Read(make([]byte, 1)); err != nil {
			return 0, err
		}
	}
}

// tlsTruncated has a peer that finishes by a FIN alone, between two records.
func tlsTruncated(e *Env) {
	h := echo()
	truncated := make(chan bool, 1)
	h.EOF = func(s *session.Stream) {
		state, _ := s.TLS()
		truncated <- state.Truncated
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 1000)
	require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
	assert.True(e, arrives(e, truncated), "Truncated")
	h.closedWith(nil)
}

// tlsCut has a peer whose FIN comes within a record.
func tlsCut(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 1000)
	_, err := c.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
	require.NoError(e, err)
	require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
	h.closedWith(io.ErrUnexpectedEOF)
	assert.Zero(e, h.Count("OnEOF"))
}

// tlsCloseNotify has both ends say close_notify, and only then finish.
func tlsCloseNotify(e *Env) {
	h := echo()
	truncated := make(chan bool, 1)
	h.EOF = func(s *session.Stream) {
		state, _ := s.TLS()
		truncated <- state.Truncated
		_, _ = s.Write([]byte("bye"))
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 100_000)
	require.NoError(e, c.CloseWrite())
	assert.False(e, arrives(e, truncated), "Truncated")
	got := make([]byte, 3)
	_, err := io.ReadFull(c, got)
	require.NoError(e, err)
	assert.Equal(e, "bye", string(got))
	_, err = c.Read(got)
	assert.Equal(e, io.EOF, err, "the end")
	h.closedWith(nil)
}

// tlsFailedHandshakes has peers that send what is no handshake. No handler hears of them, and they are told.
func tlsFailedHandshakes(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	for name, p := range map[string][]byte{
		"plain text": []byte("GET / HTTP/1.1\r\n\r\n"), "an alert": {21, 3, 3, 0, 2, 2, 40}, "no hello": {22, 3, 1, 0, 4, 99, 0, 0, 0},
		"too large": {22, 3, 1, 255, 255, 1}, "zeros": make([]byte, 100), "data": {23, 3, 3, 0, 3, 1, 2, 3},
	} {
		c := e.rawPeer(a)
		_, err := c.Write(p)
		require.NoError(e, err, name)
		_, err = io.ReadAll(c) // an alert, or nothing
		assert.NotErrorIs(e, err, os.ErrDeadlineExceeded, "%s: the connection did not end", name)
	}
	c := e.rawPeer(a) // a FIN instead
	require.NoError(e, c.(halfCloser).CloseWrite())
	_, err := io.ReadAll(c)
	require.NoError(e, err, "a FIN instead of a hello")
	e.Eventually(func() bool {
		s := e.Under().Stats()
		return s.Streams == 0 && s.TLSHandshakeErrors == 7
	}, "the end of all seven, and their count")
	assert.Zero(e, h.Count("OnOpen"))
	assert.Zero(e, h.Count("OnClose"))
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
}

// tlsTimeout has a peer that says hello, and then nothing.
func tlsTimeout(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{StreamOptions: session.StreamOptions{TLSHandshakeTimeout: 50 * time.Millisecond}})
	silent := e.rawPeer(a)
	c := tls.Client(mute{e.rawPeer(a)}, clientTLS())
	go func() { _ = c.Handshake() }()
	_, err := io.ReadAll(silent)
	assert.NotErrorIs(e, err, os.ErrDeadlineExceeded, "a silent connection was not closed")
	e.Eventually(func() bool { s := e.Under().Stats(); return s.Streams == 0 && s.TLSHandshakeErrors == 2 }, "the end of both")
	assert.Zero(e, h.Count("OnClose"))
}

// tlsPlainRequest answers a peer that does not speak TLS.
func tlsPlainRequest(e *Env) {
	const answer = "HTTP/1.0 400 Bad Request\r\n\r\nThis is TLS.\n"
	o := session.ListenOptions{NotTLS: func(begins []byte) []byte {
		assert.Equal(e, "GET /", string(begins))
		return []byte(answer)
	}}
	a := e.listenTLS(e.Under(), echo(), &o)
	c := e.rawPeer(a)
	_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(e, err)
	got, err := io.ReadAll(c)
	require.NoError(e, err)
	assert.Equal(e, answer, string(got))
}

// tlsFailedDials dials servers that cannot be trusted, or do not speak TLS.
func tlsFailedDials(e *Env) {
	h := NewHooks()
	h.env(e)
	a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{})
	dial := func(a net.Addr, c *tls.Config) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := e.Under().Dial(ctx, a.Network(), a.String(), h, &session.DialOptions{TLS: c})
		return err
	}
	err := dial(a, &tls.Config{ServerName: serverName}) // trusts others
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(e, err, &untrusted)
	e.opError(err, "dial", e.Network)
	other := clientTLS()
	other.ServerName = "other.test"
	require.ErrorAs(e, dial(a, other), &untrusted)

	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 plain\r\n"))
			_ = c.(halfCloser).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	var header tls.RecordHeaderError
	require.ErrorAs(e, dial(l.Addr(), clientTLS()), &header)
	assert.Zero(e, h.Count("OnOpen"))
	assert.Zero(e, h.Count("OnClose"), "Dial has returned the error")

	_, err = e.Under().Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: other})
	require.NoError(e, err)
	require.ErrorAs(e, h.Closed(), &untrusted, "OnClose")
	assert.Zero(e, h.Count("OnOpen"))
}

// tlsDialsThatEnd dials a server that never answers the hello.
func tlsDialsThatEnd(e *Env) {
	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err)
	defer l.Close()
	h := NewHooks()
	h.env(e)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	_, err = e.Under().Dial(ctx, e.Network, l.Addr().String(), h, &session.DialOptions{TLS: clientTLS()})
	cancel()
	require.ErrorIs(e, err, context.DeadlineExceeded, "Dial whose context ends in the handshake")
	o := session.DialOptions{TLS: clientTLS(), Timeout: 20 * time.Millisecond}
	_, err = e.Under().Dial(context.Background(), e.Network, l.Addr().String(), h, &o)
	require.ErrorIs(e, err, os.ErrDeadlineExceeded, "Dial whose Timeout passes in the handshake")
	assert.Zero(e, h.Count("OnClose"))
	_, err = e.Under().Connect(e.Network, l.Addr().String(), h, &o)
	require.NoError(e, err)
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded, "Connect whose Timeout passes in the handshake")
	s, err := e.Under().Connect(e.Network, l.Addr().String(), h, &session.DialOptions{TLS: clientTLS()})
	require.NoError(e, err)
	e.Eventually(func() bool { return s.LocalAddr() != nil }, "the connection")
	require.NoError(e, s.Close())
	require.ErrorIs(e, h.Closed(), net.ErrClosed, "Close in the handshake")
	s, err = e.Under().Connect(e.Network, l.Addr().String(), h, &session.DialOptions{TLS: clientTLS()})
	require.NoError(e, err)
	told := make(chan error, 1)
	require.NoError(e, s.WriteNotify([]byte("never sent"), func(err error) { told <- err }))
	mine := errors.New("mine")
	require.NoError(e, s.AbortWith(mine))
	require.ErrorIs(e, h.Closed(), mine, "Abort in the handshake")
	require.ErrorIs(e, arrives(e, told), mine, "WriteNotify of a stream that never opened")
}

// tlsGarbage sends what cannot be decrypted. The peer gets an alert, and the others live.
func tlsGarbage(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	other := e.tlsPeer(a, clientTLS())
	for _, p := range [][]byte{
		{23, 3, 3, 0, 30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30},
		{23, 3, 3, 0xff, 0xff, 1}, []byte("nonsense"), {22, 3, 3, 0, 1, 0},
	} {
		c := e.tlsPeer(a, clientTLS())
		e.echoes(c, 1000)
		_, err := c.NetConn().Write(p)
		require.NoError(e, err)
		_, err = c.Read(make([]byte, 1))
		var alert *net.OpError
		require.ErrorAs(e, err, &alert, "what the peer reads")
		assert.Equal(e, "remote error", alert.Op, "%v is no alert", err)
		_ = c.NetConn().Close()
		err = h.Closed()
		e.opError(err, "read", e.Network)
	}
	e.echoes(other, 1000)
}

// tlsPanic has functions of the Config that panic, or end their goroutine.
func tlsPanic(e *Env) {
	server := serverTLS()
	for _, fn := range []func(){func() { panic("mine") }, runtime.Goexit} {
		server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { fn(); return nil, nil }
		h := echo()
		a := e.listenTLS(e.Under(), h, &session.ListenOptions{TLS: server.Clone()})
		c := tls.Client(e.rawPeer(a), clientTLS())
		err := c.Handshake()
		require.Error(e, err)
		assert.NotErrorIs(e, err, os.ErrDeadlineExceeded, "the connection did not end")
		assert.Zero(e, h.Count("OnClose"))
	}
}

// tlsBadConfigs are refused where they are given.
func tlsBadConfigs(e *Env) {
	h := NewHooks()
	_, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{TLS: &tls.Config{}})
	require.ErrorContains(e, err, "Certificates")
	again := clientTLS()
	again.Renegotiation = tls.RenegotiateOnceAsClient
	_, err = e.Under().Connect("tcp", "127.0.0.1:1", h, &session.DialOptions{TLS: again})
	require.ErrorContains(e, err, "renegotiation")
	_, err = e.Under().Connect("unix", "/nowhere", h, &session.DialOptions{TLS: &tls.Config{}})
	require.ErrorContains(e, err, "ServerName")
}
