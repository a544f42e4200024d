package backendtest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on dials with TLS, and on Configs, that fail.
var tlsDialRules = []Rule{
	{"T03_ResetInTheHandshake", tlsResetHandshake},
	{"T03_FailedDials", tlsFailedDials},
	{"T03_DialsThatEnd", tlsDialsThatEnd},
	{"T03_PanicInTheConfig", tlsPanic},
	{"T03_PanicsAreAlike", tlsPanicsAlike},
	{"T03_BadConfigs", tlsBadConfigs},
}

// tlsFailedDials dials servers that cannot be trusted, or do not speak TLS.
func tlsFailedDials(e *Env) {
	h := NewHooks()
	h.env(e)
	a := e.listenTLS(e.Under(), echo(), &session.ListenOptions{})
	dial := func(a net.Addr, c *tls.Config) error {
		_, err := e.Under().Dial(e.patient(), a.Network(), a.String(), h, &session.DialOptions{TLS: c})
		return err
	}
	err := dial(a, &tls.Config{ServerName: serverName}) // trusts others
	var untrusted *tls.CertificateVerificationError
	require.ErrorAs(e, err, &untrusted)
	e.opError(err, "dial", e.Network)
	other := clientTLS()
	other.ServerName = "other.test"
	require.ErrorAs(e, dial(a, other), &untrusted)

	plain := e.eachAccepted(func(c halfCloser) {
		_, _ = c.Write([]byte("220 plain\r\n"))
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
	var header tls.RecordHeaderError
	require.ErrorAs(e, dial(plain, clientTLS()), &header)
	assert.Zero(e, h.Count("OnOpen"))
	assert.Zero(e, h.Count("OnClose"), "Dial has returned the error")

	_, err = e.Under().Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: other})
	require.NoError(e, err)
	require.ErrorAs(e, h.Closed(), &untrusted, "OnClose")
	assert.Zero(e, h.Count("OnOpen"))
}

// eachAccepted listens by package net until the rule ends, and serves one connection after another.
func (e *Env) eachAccepted(serve func(halfCloser)) net.Addr {
	e.Helper()
	l := e.listenPlain(e.Network, e.Address())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c.(halfCloser))
		}
	}()
	return l.Addr()
}

// tlsDialsThatEnd dials a server that never answers the hello.
func tlsDialsThatEnd(e *Env) {
	l, h := e.listenPlain(e.Network, e.Address()), NewHooks()
	h.env(e)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	_, err := e.Under().Dial(ctx, e.Network, l.Addr().String(), h, &session.DialOptions{TLS: clientTLS()})
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

// tlsResetHandshake has peers that reset in the middle of the handshake: one that is a client, and one that was dialled.
func tlsResetHandshake(e *Env) {
	if e.Network != "tcp" {
		e.Skip("no reset")
	}
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	raw := plainPeer{e.rawPeer(a).(halfCloser)}
	c := tls.Client(mute{raw}, clientTLS())
	go func() { _ = c.Handshake() }()
	e.Eventually(func() bool { return e.Under().Stats().TLSOverhead > 0 }, "the hello")
	require.NoError(e, raw.Reset())
	e.Eventually(func() bool { s := e.Under().Stats(); return s.Streams == 0 && s.TLSHandshakeErrors == 1 }, "the count of it")
	assert.Zero(e, h.Count("OnClose"))

	to := e.eachAccepted(func(c halfCloser) {
		_, _ = c.Read(make([]byte, 1000))
		_ = plainPeer{c}.Reset()
	}).String()
	o := &session.DialOptions{TLS: clientTLS()}
	_, err := e.Under().Dial(e.patient(), e.Network, to, h, o)
	require.ErrorIs(e, err, syscall.ECONNRESET)
	e.opError(err, "dial", e.Network)
	require.ErrorContains(e, err, "TLS handshake")
	_, err = e.Under().Connect(e.Network, to, h, o)
	require.NoError(e, err)
	err = h.Closed()
	require.ErrorIs(e, err, syscall.ECONNRESET)
	e.opError(err, "dial", e.Network)
	e.Eventually(func() bool { return e.Under().Stats().TLSHandshakeErrors == 3 }, "the count of all")
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

// tlsPanicsAlike has functions of a client's Config and of a server's panic, with loops and driven by the rule. The errors
// are the same, and the server counts its panic, of which nobody else hears.
func tlsPanicsAlike(e *Env) {
	for _, driven := range []bool{false, true} {
		t := e.Open(func(o *Options) { o.CallerDriven, o.Loops = driven, 1 })
		until := func(done func() bool, what string) {
			if driven {
				e.poll(done, what, t)
			} else {
				e.Eventually(done, "%s", what)
			}
		}
		panics := func(tls.ConnectionState) error { panic("mine") }
		client, server := clientTLS(), serverTLS()
		client.VerifyConnection = panics
		h := NewHooks()
		h.env(e)
		a := e.listenTLS(t, echo(), &session.ListenOptions{TLS: server})
		_, err := t.Connect(a.Network(), a.String(), h, &session.DialOptions{TLS: client})
		require.NoError(e, err)
		until(func() bool { return len(h.closed) > 0 }, "OnClose")
		err = <-h.closed
		e.opError(err, "dial", a.Network())
		var p *session.PanicError
		require.ErrorAs(e, err, &p)
		assert.Equal(e, "mine", p.Value)
		assert.Zero(e, h.Count("OnOpen"))
		until(func() bool { return t.Stats().TLSHandshakeErrors == 2 }, "the end of both")
		assert.Zero(e, t.Stats().Panics, "a panic that OnClose tells is counted")

		server = serverTLS()
		server.VerifyConnection = panics
		a = e.listenTLS(t, echo(), &session.ListenOptions{TLS: server})
		c := e.rawPeer(a)
		result := make(chan error, 1)
		go func() { _, err := tls.Client(c, clientTLS()).Read(make([]byte, 1)); result <- err }()
		until(func() bool { return len(result) > 0 }, "the end of the server's side")
		require.Error(e, <-result)
		until(func() bool { return t.Stats().Panics == 1 && t.Stats().TLSHandshakeErrors == 3 }, "a count of the server's panic")
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
