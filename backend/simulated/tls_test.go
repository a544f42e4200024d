package simulated_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// authority is a certificate that is signed by itself, and the pool that trusts it.
var authority = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.test"}, DNSNames: []string{"server.test"},
		NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(err)
	leaf, err := x509.ParseCertificate(der)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

func serverTLS() *tls.Config {
	c, _ := authority()
	return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"test"}}
}

func clientTLS() *tls.Config {
	_, pool := authority()
	return &tls.Config{RootCAs: pool, ServerName: "server.test", NextProtos: []string{"test"}}
}

// both runs a test with loops of a caller, where handshakes run on the loop, and with one that has goroutines.
func both(t *testing.T, c simulated.Config, run func(t *testing.T, w *world, until func(string, func() bool))) {
	t.Run("polled", func(t *testing.T) {
		kinds(t, func(t *testing.T, completions bool) {
			w := newWorld(t, completions, c)
			run(t, w, w.until)
			w.end()
		})
	})
	t.Run("stepped", func(t *testing.T) {
		bubbles(t, func(t *testing.T, completions bool) {
			w, _ := stepped(t, completions, c, 1)
			run(t, w, w.steps)
			w.endStepped()
		})
	})
}

// encrypted is a stream with TLS, and the one at its other end.
func (w *world) encrypted(server, client session.Handler, o session.StreamOptions) (at string, s *session.Stream) {
	at = w.serve(server, &session.ListenOptions{TLS: serverTLS(), StreamOptions: o})
	s, err := w.e.Connect("tcp", at, client, &session.DialOptions{TLS: clientTLS(), StreamOptions: o})
	require.NoError(w.t, err)
	return at, s
}

// collects keeps what comes.
func collects(h *hooks) *bytes.Buffer {
	b := new(bytes.Buffer)
	h.data = func(s *session.Stream) { _, _ = s.WriteTo(b) }
	return b
}

// TestTLSEcho has both ends be streams, on a kernel that cuts records anywhere: what the client writes before its handshake is
// done comes first, close_notify is the end, and the figures add up.
func TestTLSEcho(t *testing.T) {
	for seed := range uint64(3) {
		both(t, simulated.Config{Seed: seed, Faults: simulated.Rough()}, func(t *testing.T, w *world, until func(string, func() bool)) {
			server, client := &echo{}, &hooks{}
			got, told := collects(client), 0
			message := bytes.Repeat([]byte("0123456789abcdef"), 5_000)
			client.open = func(s *session.Stream) {
				state, ok := s.TLS()
				require.True(t, ok)
				require.Equal(t, "test", state.NegotiatedProtocol)
				_, err := s.Writev(net.Buffers{[]byte("in "), nil, []byte("OnOpen, ")})
				require.NoError(t, err)
				require.NoError(t, s.WriteNotify(message, func(err error) { require.NoError(t, err); told++ }))
				require.NoError(t, s.CloseWrite())
			}
			_, s := w.encrypted(server, client, session.StreamOptions{AllowHalfClose: true})
			_, ok := s.TLS()
			require.False(t, ok)
			require.NoError(t, s.WriteNotify([]byte("early, "), func(err error) { require.NoError(t, err); told++ }))
			want := "early, in OnOpen, " + string(message)
			until("an echo", func() bool { return got.Len() == len(want) })
			require.Equal(t, want, got.String())
			require.Equal(t, 2, told)
			require.NoError(t, server.s.Close())
			until("the server's end", func() bool { return server.closed == 1 })
			require.NoError(t, s.Close())
			until("the client's", client.over)
			require.NoError(t, client.err)
			require.Equal(t, []error{nil}, server.errs)
			stats := w.e.Stats()
			require.EqualValues(t, 2, stats.TLSHandshakes)
			require.Equal(t, stats.BytesIn, stats.BytesDelivered+stats.BytesDropped+stats.TLSOverhead)
			require.EqualValues(t, 2*len(want), stats.BytesDelivered)
		})
	}
}

// TestTLSCloseWriteBeforeOnOpen has a client finish before its handshake is done: that, what was written, and close_notify
// come first, and FIN behind them.
func TestTLSCloseWriteBeforeOnOpen(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		for _, early := range []string{"", "early"} {
			server, client, truncated := &echo{}, &hooks{}, true
			got := collects(client)
			client.eof = func(s *session.Stream) {
				state, ok := s.TLS()
				truncated = !ok || state.Truncated
			}
			_, s := w.encrypted(server, client, session.StreamOptions{})
			_, err := s.Write([]byte(early))
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
			until("OnClose", client.over)
			require.NoError(t, client.err)
			require.True(t, client.opened)
			require.Equal(t, early, got.String())
			require.False(t, truncated)
			until("the server's end", func() bool { return server.closed == 1 })
			require.Equal(t, []error{nil}, server.errs)
		}
	})
}

// plainPeer is a client's TLS over a Conn that the test has in its hands.
func (w *world) plainPeer(at string) (*tls.Conn, net.Conn) {
	var c net.Conn
	require.NoError(w.t, w.ask("DialConn", func() (err error) {
		c, err = w.e.DialConn(w.t.Context(), "tcp", at, nil)
		return err
	}))
	return tls.Client(c, clientTLS()), c
}

// TestTLSEnds has a peer end its TLS in each way: by close_notify, by a FIN alone, and by one in the middle of a record.
func TestTLSEnds(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		for _, how := range []string{"close_notify", "FIN", "in a record", "garbage", "reset"} {
			w, _ := stepped(t, completions, simulated.Config{}, 1)
			server, eof := &hooks{}, false
			got := collects(server)
			truncated := false
			server.eof = func(s *session.Stream) {
				state, _ := s.TLS()
				eof, truncated = true, state.Truncated
			}
			at := w.serve(server, &session.ListenOptions{TLS: serverTLS()})
			c, raw := w.plainPeer(at)
			require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("hello")); return err }))
			w.steps("bytes", func() bool { return got.String() == "hello" })
			switch how {
			case "close_notify":
				require.NoError(t, w.ask("close_notify", c.CloseWrite))
			case "FIN":
				require.NoError(t, raw.(halfCloser).CloseWrite())
			case "in a record":
				_, err := raw.Write([]byte{23, 3, 3, 0, 100, 'x'})
				require.NoError(t, err)
				require.NoError(t, raw.(halfCloser).CloseWrite())
			case "garbage":
				_, err := raw.Write([]byte{23, 3, 3, 0, 20, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'})
				require.NoError(t, err)
			case "reset":
				require.NoError(t, raw.(interface{ SetLinger(int) error }).SetLinger(0))
				require.NoError(t, raw.Close())
			}
			w.steps("OnClose", server.over)
			require.Equal(t, how == "close_notify" || how == "FIN", eof, how)
			require.Equal(t, how == "FIN", truncated, how)
			switch how {
			case "in a record":
				require.ErrorIs(t, server.err, io.ErrUnexpectedEOF)
			case "garbage":
				require.ErrorContains(t, server.err, "bad record MAC")
			case "reset":
				require.Error(t, server.err)
			default:
				require.NoError(t, server.err)
				require.Equal(t, io.EOF, w.ask("the server's close_notify", func() error { _, err := c.Read(make([]byte, 1)); return err }))
			}
			_ = raw.Close()
			w.endStepped()
		}
	})
}

type halfCloser interface{ CloseWrite() error }

// TestStartTLS has a stream begin in plain and go on encrypted: what was written before is plain, and what is written behind
// it is not.
func TestStartTLS(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &hooks{}, &hooks{}
		var got string
		server.data = func(s *session.Stream) {
			if _, ok := s.TLS(); ok {
				p, _ := s.Next(-1)
				got += string(p)
				_, _ = s.Write(p)
				return
			}
			p, _ := s.Next(8)
			require.Equal(t, "STARTTLS", string(p))
			_, _ = s.Write([]byte("go on"))
			require.NoError(t, s.StartTLS(serverTLS(), true))
			require.ErrorContains(t, s.StartTLS(serverTLS(), true), "has TLS already")
		}
		var answer string
		client.open = func(s *session.Stream) { _, _ = s.Write([]byte("STARTTLS")) }
		client.data = func(s *session.Stream) {
			p, _ := s.Next(-1)
			answer += string(p)
			if _, ok := s.TLS(); !ok {
				require.Error(t, s.StartTLS(nil, false))
				require.Error(t, s.StartTLS(&tls.Config{}, false)) // has nothing to verify
				require.Error(t, s.StartTLS(&tls.Config{}, true))  // has no certificate
				require.NoError(t, s.StartTLS(clientTLS(), false))
				_, _ = s.Write([]byte("secret"))
			}
		}
		_, err := w.e.Connect("tcp", w.serve(server, nil), client, nil)
		require.NoError(t, err)
		until("an echo", func() bool { return answer == "go onsecret" })
		require.Equal(t, "secret", got)
		_, ok := client.s.TLS()
		require.True(t, ok)
		require.NoError(t, client.s.Close())
		until("both ends", func() bool { return server.over() && client.over() })
		require.NoError(t, server.err)
		require.ErrorIs(t, client.s.StartTLS(clientTLS(), false), net.ErrClosed)
	})
}

// TestStartTLSPipelined has a client begin its handshake right behind its word, so that the server has both at once.
func TestStartTLSPipelined(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &hooks{}, &hooks{}
		var got string
		server.data = func(s *session.Stream) {
			if _, ok := s.TLS(); ok || got != "" {
				p, _ := s.Next(-1)
				got += string(p)
			} else if p, _ := s.Peek(8); len(p) == 8 {
				got = string(p)
				_, _ = s.Discard(8)
				require.NoError(t, s.StartTLS(serverTLS(), true))
			}
		}
		server.open = func(s *session.Stream) {
			s.PauseRead()
			s.After(time.Second, s.ResumeRead)
		}
		client.open = func(s *session.Stream) {
			_, _ = s.Write([]byte("STARTTLS"))
			require.NoError(t, s.StartTLS(clientTLS(), false))
			_, _ = s.Write([]byte(", secret"))
			_ = s.Close()
		}
		_, err := w.e.Connect("tcp", w.serve(server, nil), client, nil)
		require.NoError(t, err)
		until("both ends", func() bool { return server.over() && client.over() })
		require.NoError(t, client.err)
		require.NoError(t, server.err)
		require.Equal(t, "STARTTLS, secret", got)
	})
}

// TestTLSPause has a paused stream hold what comes encrypted, within bounds, and go on.
func TestTLSPause(t *testing.T) {
	both(t, simulated.Config{}, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &hooks{}, &hooks{}
		got := collects(server)
		message := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
		o := session.StreamOptions{ReadBufferLimit: 100_000, TurnBudget: 20_000}
		client.open = func(s *session.Stream) { _, _ = s.Write(message); _ = s.Close() }
		server.open = func(s *session.Stream) {
			s.PauseRead()
			s.After(time.Second, s.ResumeRead)
		}
		w.encrypted(server, client, o)
		until("OnOpen", server.isOpen)
		require.Zero(t, got.Len())
		until("all", func() bool { return server.over() && client.over() })
		require.True(t, bytes.Equal(message, got.Bytes()))
		require.NoError(t, client.err)
		require.NoError(t, server.err)
	})
}

// TestTLSWholeWrites has writes be taken whole or not at all, also before the handshake.
func TestTLSWholeWrites(t *testing.T) {
	both(t, small, func(t *testing.T, w *world, until func(string, func() bool)) {
		server, client := &hooks{}, &hooks{}
		got := collects(server)
		o := session.StreamOptions{WriteBufferLimit: 20_000, HighWater: 10_000, LowWater: 100}
		_, s := w.encrypted(server, client, o)
		text := bytes.Repeat([]byte("x"), 15_000)
		for range 2 { // before the handshake and behind it
			_, err := s.Write(text)
			require.NoError(t, err)
			require.False(t, s.Writable())
			_, err = s.Write(text)
			require.ErrorIs(t, err, session.ErrWriteBufferFull)
			n, err := session.WritePart(s, text)
			require.NoError(t, err)
			require.Zero(t, n)
			before := got.Len()
			until("all of it", func() bool { return got.Len() == before+len(text) && s.Queued() == 0 })
		}
		require.True(t, s.Writable())
		n, err := session.WritePart(s, text)
		require.NoError(t, err)
		require.Positive(t, n)
		require.NoError(t, s.Close())
		until("both ends", func() bool { return server.over() && client.over() })
		require.Equal(t, 2*len(text)+n, got.Len())
		_, err = s.Write(text)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
