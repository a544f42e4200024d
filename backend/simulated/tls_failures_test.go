package simulated_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestTLSHandshakeFails has what is no handshake end its connection alone: no handler hears of it, and it is counted.
func TestTLSHandshakeFails(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		h := &hooks{}
		at := w.serve(h, &session.ListenOptions{TLS: serverTLS(), NotTLS: func(begins []byte) []byte {
			require.Equal(t, "GET /", string(begins))
			return []byte("400")
		}})
		begin := w.k.Now()
		plain, cut, silent, stalled := w.dial(at), w.dial(at), w.dial(at), w.dial(at)
		plain.Send([]byte("GET / HTTP/1.1\r\n\r\n"))
		cut.Send([]byte{22, 3, 1, 0, 100, 1})
		cut.Finish()
		stalled.Send([]byte{22, 3, 1, 0, 4, 1, 0, 1, 0}) // the beginning of a message
		until("two ends", func() bool { return w.e.Stats().TLSHandshakeErrors == 2 && w.e.Stats().Streams == 2 })
		require.Equal(t, "400", string(plain.Received()))
		require.Less(t, w.k.Now()-begin, 5*time.Second)
		until("the end of those that say nothing", func() bool { return w.e.Stats().TLSHandshakeErrors == 4 })
		require.GreaterOrEqual(t, w.k.Now()-begin, 10*time.Second) // the default
		require.Less(t, w.k.Now()-begin, 12*time.Second)
		until("no stream", func() bool { return w.e.Stats().Streams == 0 })
		w.k.Advance(time.Second)
		for _, p := range []*simulated.Peer{silent, stalled} {
			require.True(t, p.EOF() || p.Err() != nil)
		}
		require.False(t, h.opened)
		require.Zero(t, h.ended)
		require.Zero(t, w.e.Stats().TLSHandshakes)
	})
}

// clientHello is the first record that a client sends.
func clientHello(t *testing.T) []byte {
	record := &recordedConn{}
	require.ErrorIs(t, tls.Client(record, clientTLS()).HandshakeContext(t.Context()), net.ErrClosed)
	return record.wrote
}

// recordedConn keeps what is written, and has nothing to read.
type recordedConn struct {
	net.Conn
	wrote []byte
}

func (c *recordedConn) Write(p []byte) (int, error) {
	c.wrote = append(c.wrote, p...)
	return len(p), nil
}
func (*recordedConn) Read([]byte) (int, error)    { return 0, net.ErrClosed }
func (*recordedConn) Close() error                { return nil }
func (*recordedConn) SetDeadline(time.Time) error { return nil }

// TestTLSHandshakeCannotWrite has a peer reset its connection while its hello is being answered. The stream ends at once,
// although it had not opened.
func TestTLSHandshakeCannotWrite(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		h, config := &hooks{}, serverTLS()
		var p *simulated.Peer
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			p.Reset()
			w.k.Advance(time.Millisecond)
			return nil, nil
		}
		p = w.dial(w.serve(h, &session.ListenOptions{TLS: config}))
		p.Send(clientHello(t))
		w.until("a stream", func() bool { return w.e.Stats().Streams == 1 })
		began := w.k.Now()
		w.until("its end", func() bool { return w.e.Stats().Streams == 0 })
		require.Less(t, w.k.Now()-began, time.Second)
		require.Less(t, w.e.Stats().Turns, uint64(50))
		require.False(t, h.opened)
		w.end()
	})
}

// TestTLSFailsAsItOpens has a client go when it has said its last word of the handshake, and the server's own last word find
// nobody. No handler hears of the stream.
func TestTLSFailsAsItOpens(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		h, config, last, gone := &hooks{}, serverTLS(), make(chan struct{}), make(chan struct{})
		told := ""
		h.data, h.eof = func(*session.Stream) { told += "OnData " }, func(*session.Stream) { told += "OnEOF " }
		config.ClientAuth = tls.RequestClientCert // so that the ticket comes last
		config.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) {
			close(last)
			<-gone
			return []byte("ticket"), nil
		}
		_, err := w.e.Listen("unix", "/server", h, &session.ListenOptions{TLS: config})
		require.NoError(t, err)
		go func() {
			c, err := w.e.DialConn(t.Context(), "unix", "/server", nil)
			assert.NoError(t, err)
			client := clientTLS()
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // for the ticket
			assert.NoError(t, tls.Client(c, client).HandshakeContext(t.Context()))
			<-last
			assert.NoError(t, c.Close())
		}()
		for range 200 { // Step would go on until something times out
			if synctest.Wait(); !w.k.StepOther() {
				w.k.Advance(10 * time.Microsecond)
			}
		}
		close(gone)
		w.steps("no stream", func() bool { return w.e.Stats().Streams == 0 })
		require.False(t, h.opened)
		require.Zero(t, h.ended)
		require.Empty(t, told)
		w.endStepped()
	})
}

// tlsDialFailures are servers with which a dial fails, and how.
var tlsDialFailures = map[string]struct {
	client func(*tls.Config)
	check  func(*testing.T, error)
}{
	"untrusted": {func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, func(t *testing.T, err error) {
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown)
	}},
	"another name": {func(c *tls.Config) { c.ServerName = "another.test" }, func(t *testing.T, err error) {
		var host x509.HostnameError
		require.ErrorAs(t, err, &host)
	}},
	"no protocol": {func(c *tls.Config) { c.NextProtos = []string{"another"} }, func(t *testing.T, err error) {
		require.ErrorContains(t, err, "remote error: tls: no application protocol") // the server's alert
	}},
	"panic": {func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { panic(errOnPurpose) }
	}, func(t *testing.T, err error) {
		var failure *session.PanicError
		require.ErrorAs(t, err, &failure)
		require.Equal(t, errOnPurpose, failure.Value)
	}},
	"refused": {func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { return errOnPurpose }
	}, is(errOnPurpose)},
}

// TestTLSDialFails has each dial fail with the reason, and the server go on.
func TestTLSDialFails(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &echo{}, &hooks{}
		at := w.serve(server, &session.ListenOptions{TLS: serverTLS()})
		for name, c := range tlsDialFailures {
			config, h, told, began := clientTLS(), &hooks{}, []error(nil), w.k.Now()
			c.client(config)
			s, err := w.e.Connect("tcp", at, h, &session.DialOptions{TLS: config})
			require.NoError(t, err)
			require.NoError(t, s.WriteNotify([]byte("secret"), func(err error) { told = append(told, err) }))
			until("OnClose", h.over)
			require.Less(t, w.k.Now()-began, 2*time.Second, name) // it waits for the peer, and not for what cannot be sent
			require.False(t, h.opened, name)
			require.Equal(t, 1, h.ended)
			c.check(t, h.err)
			var op *net.OpError
			require.ErrorAs(t, h.err, &op, name)
			require.Equal(t, "dial", op.Op)
			require.Len(t, told, 1)
			require.Error(t, told[0])
		}
		_, err := w.e.Connect("tcp", at, client, &session.DialOptions{TLS: clientTLS()})
		require.NoError(t, err)
		until("a good one", client.isOpen)
		require.LessOrEqual(t, w.e.Stats().BytesDelivered, uint64(0)) // nobody got the secret
		_, err = w.e.Connect("tcp", "127.0.0.1:1", client, &session.DialOptions{TLS: &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}})
		require.ErrorContains(t, err, "renegotiation")
		_, err = w.e.Listen("tcp", "127.0.0.1:0", server, &session.ListenOptions{TLS: &tls.Config{}})
		require.ErrorContains(t, err, "Certificates")
	})
}

// TestTLSDialIsReset has a server reset the connection in the handshake. The error says that it is a dial's, and of which
// address.
func TestTLSDialIsReset(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		l, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		h := &hooks{}
		_, err = w.e.Connect("tcp", "127.0.0.1:80", h, &session.DialOptions{TLS: clientTLS()})
		require.NoError(t, err)
		w.until("a hello", func() bool { return len(l.Peers()) == 1 && l.Peers()[0].Count() > 0 })
		l.Peers()[0].Reset()
		w.until("OnClose", h.over)
		require.False(t, h.opened)
		require.ErrorIs(t, h.err, syscall.ECONNRESET)
		require.EqualError(t, h.err, "dial tcp 127.0.0.1:80: TLS handshake: read: connection reset by peer")
		l.Close()
		w.end()
	})
}

// TestTLSDialEnds has a server say nothing: the dial ends with its Timeout, its context, Abort, Shutdown, or its loop.
func TestTLSDialEnds(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, simulated.Config{}, 2)
		l, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		o := session.DialOptions{TLS: clientTLS(), Timeout: time.Second}
		dial := func(o session.DialOptions) error {
			return w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "127.0.0.1:80", &hooks{}, &o); return err })
		}
		begin := w.k.Now()
		require.ErrorIs(t, dial(o), os.ErrDeadlineExceeded)
		require.Less(t, w.k.Now()-begin, 2*time.Second)
		h := &hooks{}
		_, err = w.e.Connect("tcp", "127.0.0.1:80", h, &o)
		require.NoError(t, err)
		w.steps("OnClose", h.over)
		require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, h.err, &timeout)
		require.True(t, timeout.Timeout())
		require.Less(t, w.k.Now()-begin, 4*time.Second)
		o.Timeout = 0
		ctx, cancel := w.k.Clock().WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = w.ask("Dial", func() error { _, err := w.e.Dial(ctx, "tcp", "127.0.0.1:80", h, &o); return err })
		require.Equal(t, ctx.Err(), errors.Unwrap(err))
		require.ErrorIs(t, dial(o), os.ErrDeadlineExceeded) // TLSHandshakeTimeout
		waits := func() (*hooks, *session.Stream) {
			h := &hooks{}
			s, err := w.e.Connect("tcp", "127.0.0.1:80", h, &o)
			require.NoError(t, err)
			before := len(l.Peers())
			for range 1000 { // Step would go on until a loop has something to do, which is the timeout
				if synctest.Wait(); len(l.Peers()) > before && l.Peers()[before].Count() > 0 {
					return h, s
				}
				if !w.k.StepOther() {
					w.k.Advance(10 * time.Microsecond)
				}
			}
			require.Fail(t, "its hello did not come")
			return h, s
		}
		aborted, s := waits()
		require.NoError(t, s.AbortWith(errOnPurpose))
		w.steps("OnClose", aborted.over)
		require.ErrorIs(t, aborted.err, errOnPurpose)
		lost, s := waits()
		drivers[s.Loop()].Fail()
		w.steps("OnClose", lost.over)
		require.ErrorIs(t, lost.err, simulated.ErrFailed)
		last, _ := waits()
		require.NoError(t, w.ask("Shutdown", func() error { return w.e.Shutdown(t.Context()) }))
		require.ErrorIs(t, last.err, net.ErrClosed)
		for _, h := range []*hooks{aborted, lost, last} {
			require.False(t, h.opened)
			require.Equal(t, 1, h.ended)
		}
		synctest.Wait()
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestTLSGoexit has a function of the Config end its goroutine: that is the end of that handshake alone.
func TestTLSGoexit(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		at := w.serve(&echo{}, &session.ListenOptions{TLS: serverTLS()})
		config, h := clientTLS(), &hooks{}
		config.VerifyConnection = func(tls.ConnectionState) error { runtime.Goexit(); return nil }
		_, err := w.e.Connect("tcp", at, h, &session.DialOptions{TLS: config})
		require.NoError(t, err)
		w.steps("OnClose", h.over)
		require.ErrorContains(t, h.err, "has ended its goroutine")
		require.NoError(t, w.e.Err())
		w.endStepped()
	})
}

// TestTLSHandshakesTakeTurns has more clients begin than may shake hands at once, all of which stall but the last: that one
// waits for a moment, and not for their timeout.
func TestTLSHandshakesTakeTurns(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &echo{}, &hooks{}
		at := w.serve(server, &session.ListenOptions{TLS: serverTLS()})
		for range 64 + 5 {
			w.dial(at).Send([]byte{22, 3, 1, 0, 4, 1, 0, 1, 0}) // the beginning of a message
		}
		until("all of them", func() bool { return w.e.Stats().Streams == 69 })
		begin := w.k.Now()
		_, err := w.e.Connect("tcp", at, client, &session.DialOptions{TLS: clientTLS()})
		require.NoError(t, err)
		until("OnOpen", func() bool { return client.opened && server.opened == 1 })
		require.Less(t, w.k.Now()-begin, 2*time.Second)
		until("both handshakes", func() bool { return w.e.Stats().TLSHandshakes == 2 })
		require.Less(t, w.k.Now()-begin, 2*time.Second)
		require.Zero(t, w.e.Stats().TLSHandshakeErrors)
		until("their ends", func() bool { return w.e.Stats().TLSHandshakeErrors == 69 })
		require.False(t, client.over())
	})
}

// TestTLSCloseBeforeTheHandshake has a stream written to and closed at once: what was written is sent, encrypted.
func TestTLSCloseBeforeTheHandshake(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &hooks{}, &hooks{}
		got := collects(server)
		at := w.serve(server, nil)
		server.open = func(s *session.Stream) { require.NoError(t, s.StartTLS(serverTLS(), true)) }
		client.open = func(s *session.Stream) {
			require.NoError(t, s.StartTLS(clientTLS(), false))
			_, _ = s.Write([]byte("secret"))
			_ = s.Close()
		}
		_, err := w.e.Connect("tcp", at, client, nil)
		require.NoError(t, err)
		until("both ends", func() bool { return server.over() && client.over() })
		require.NoError(t, client.err)
		require.NoError(t, server.err)
		require.Equal(t, "secret", got.String())
	})
}

// TestTLSResetDeliversWhatCame has a peer send and reset at once: what came whole can be read in OnClose.
func TestTLSResetDeliversWhatCame(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		server := &hooks{open: (*session.Stream).PauseRead}
		var got []byte
		server.close = func(s *session.Stream, _ error) { got, _ = s.Next(-1) }
		c, raw := w.plainPeer(w.serve(server, &session.ListenOptions{TLS: serverTLS()}))
		require.NoError(t, w.ask("a Write", func() error { _, err := c.Write(make([]byte, 5000)); return err }))
		w.steps("OnOpen", server.isOpen)
		w.k.Advance(time.Second)
		require.NoError(t, raw.(interface{ SetLinger(int) error }).SetLinger(0))
		require.NoError(t, raw.Close())
		w.steps("OnClose", server.over)
		require.ErrorIs(t, server.err, syscall.ECONNRESET)
		require.Len(t, got, 5000)
		w.endStepped()
	})
}
