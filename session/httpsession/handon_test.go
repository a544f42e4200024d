package httpsession_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// upgrading is a server of package net that answers one request with 101, in one piece with what follows, and echoes.
func upgrading(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 1000))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nbehind the head")
		_, _ = io.Copy(c, c)
	}()
	return l.Addr().String()
}

// TestClientHandsOn takes the connection over after 101: from a Client, and from an Exchange of a Pool.
func TestClientHandsOn(t *testing.T) {
	ask := func(t *testing.T, address string) *http1.Request {
		q := request(t, "GET", "http://"+address+"/", "")
		q.Header.Set("Upgrade", "x")
		q.Header.Set("Connection", "upgrade")
		return q
	}
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		address := upgrading(t)
		client, err := httpsession.Connect(tr, address, nil)
		require.NoError(t, err)
		put(t, client, ask(t, address))
		r, err := next(t, client, client)
		require.NoError(t, err)
		require.True(t, r.Switched())
		c, err := client.Detach()
		require.NoError(t, err)
		goesOn(t, c)
		_, _, err = client.Write(ask(t, address))
		require.ErrorIs(t, err, net.ErrClosed)

		address = upgrading(t)
		pool := httpsession.NewPool(tr, nil)
		x, err := pool.Do(ask(t, address))
		require.NoError(t, err)
		_, err = x.Detach()
		require.Error(t, err, "before there is a response")
		r, err = next(t, x, x)
		require.NoError(t, err)
		require.True(t, r.Switched())
		c, err = x.Detach()
		require.NoError(t, err)
		require.Zero(t, pool.Open())
		goesOn(t, c)
		require.NoError(t, x.Close())
	})
}

// goesOn reads what came behind the head, and talks.
func goesOn(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	got := make([]byte, len("behind the head"))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "behind the head", string(got))
	_, err = io.WriteString(c, "hello")
	require.NoError(t, err)
	_, err = io.ReadFull(c, got[:5])
	require.NoError(t, err)
	assert.Equal(t, "hello", string(got[:5]))
}

// TestServerHandsOn takes the connection over after CONNECT, with what the client has sent behind it.
func TestServerHandsOn(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		a, err := polled.Listen(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		defer a.Close()
		peer := dialPlain(t, a.Addr().String())
		_, err = io.WriteString(peer, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nbehind the head")
		require.NoError(t, err)
		var inner *polled.StreamSession
		until(t, func() bool {
			s, ok, err := a.Accept()
			require.NoError(t, err)
			inner = s
			return ok
		})
		server := httpsession.NewServer(inner, nil)
		r, err := next(t, server, server)
		require.NoError(t, err)
		require.Equal(t, "CONNECT", r.Method)
		put(t, server, response(200, ""))
		c, err := server.Detach()
		require.NoError(t, err)
		defer c.Close()
		got := make([]byte, len("behind the head"))
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		assert.Equal(t, "behind the head", string(got))
		_, err = io.WriteString(c, "through the tunnel")
		require.NoError(t, err)
		require.NoError(t, c.Close())
		all, err := io.ReadAll(peer)
		require.NoError(t, err)
		assert.Contains(t, string(all), "HTTP/1.1 200 ")
		assert.Contains(t, string(all), "\r\n\r\nthrough the tunnel")
	})
}

// TestNobodysExchange begins exchanges that nobody drives. They hold up no other to their host.
func TestNobodysExchange(t *testing.T) {
	f := newFarm(t, httpsession.PoolOptions{PerHost: 1})
	for range 3 {
		_, err := f.Do(request(t, "GET", "http://a/forgotten", ""))
		require.NoError(t, err)
	}
	x := f.begin("GET", "http://a/x")
	f.answer(0, "/x", "one")
	f.ends(x, "one")
	waits, gone := f.begin("GET", "http://a/first"), f.begin("GET", "http://a/second")
	third, err := f.Do(request(t, "GET", "http://a/third", ""))
	require.NoError(t, err)
	f.answer(0, "/first", "two")
	f.ends(waits, "two")
	for range 200 { // the second is not driven any longer
		f.drive(third)
	}
	f.answer(0, "/third", "three")
	f.ends(third, "three")
	require.NoError(t, gone.Close())
}
