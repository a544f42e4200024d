package tandem_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// onProduction runs a test on a Transport of each backend that has these networks.
func onProduction(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	production(t, func(t *testing.T, b tandem.Backend) {
		tr := openOn(t, &tandem.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { assert.NoError(t, tr.Close()) })
		run(t, tr)
	})
}

// dialAt dials for a test.
func dialAt(t *testing.T, tr tandem.Transport, network, address string, h tandem.Handler) *tandem.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), connPatience)
	defer cancel()
	s, err := tr.Dial(ctx, network, address, h, nil)
	require.NoError(t, err)
	return s
}

// collects hands on what comes when the peer has finished, and how the stream ends.
type collects struct {
	tandem.BaseHandler
	got []byte
	all chan []byte
	end chan error
}

func newCollects() *collects {
	return &collects{all: make(chan []byte, 1), end: make(chan error, 1)}
}

func (c *collects) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	c.got = append(c.got, p...)
}

func (c *collects) OnEOF(*tandem.Stream)                { c.all <- c.got }
func (c *collects) OnClose(_ *tandem.Stream, err error) { c.end <- err }

// echoesAll sends a megabyte to an echo, half closes, and expects all of it back.
func echoesAll(t *testing.T, tr tandem.Transport, network, address string) *tandem.Stream {
	t.Helper()
	h, message := newCollects(), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	s := dialAt(t, tr, network, address, h)
	_, err := s.Write(message)
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	select {
	case got := <-h.all:
		assert.True(t, bytes.Equal(message, got), "%d bytes came back, of %d", len(got), len(message))
	case <-time.After(connPatience):
		require.Fail(t, "the echo did not come", "within %v", connPatience)
	}
	assert.NoError(t, <-h.end)
	return s
}

// carriers are the ways in which the bytes of a network are carried: by streams, and by Conns.
func carriers(t *testing.T, tr tandem.Transport, network, address string) {
	t.Helper()
	l, err := tr.Listen(network, address, echoHandler{}, nil)
	require.NoError(t, err)
	defer l.Close()
	echoesAll(t, tr, network, l.Addr().String())

	c, err := tandem.DialConn(t.Context(), tr, network, l.Addr().String(), nil)
	require.NoError(t, err)
	pinged(t, c)
	require.NoError(t, c.Close())

	s := dialAt(t, tr, network, l.Addr().String(), tandem.BaseHandler{})
	assert.Equal(t, l.Addr().Network(), s.RemoteAddr().Network())
	c, err = s.Detach()
	require.NoError(t, err)
	pinged(t, c)
	h := newCollects()
	s, err = tr.Adopt(c.(syscall.Conn), h)
	require.NoError(t, err)
	_, err = s.Write([]byte("adopted"))
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	assert.Equal(t, "adopted", string(<-h.all))

	h = newCollects()
	s = dialAt(t, tr, network, l.Addr().String(), h)
	require.NoError(t, s.AbortWith(errors.New("enough")))
	assert.EqualError(t, <-h.end, "enough")
}

// pinged sends something to an echo.
func pinged(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(connPatience)))
	_, err := c.Write([]byte("ping"))
	require.NoError(t, err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	assert.Equal(t, "ping", string(answer))
}

// needMPTCP skips a test, loudly, where the kernel has no MPTCP.
func needMPTCP(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Skipf("NOT TESTED: no socket of MPTCP: %v; net.mptcp.enabled must be 1", err)
	}
	_ = unix.Close(fd)
}

func TestS25_MultipathTCP(t *testing.T) {
	needMPTCP(t)
	onProduction(t, func(t *testing.T, tr tandem.Transport) {
		for network, address := range map[string]string{"mptcp": "127.0.0.1:0", "mptcp4": "localhost:0", "mptcp6": "[::1]:0"} {
			t.Run(network, func(t *testing.T) {
				if network == "mptcp6" && !hasIPv6(t) {
					t.Skip("NOT TESTED: there is no IPv6")
				}
				carriers(t, tr, network, address)
			})
		}
		t.Run("whether it is", func(t *testing.T) { isMultipath(t, tr) })
	})
}

// hasIPv6 reports whether the loopback interface has an IPv6 address.
func hasIPv6(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	return assert.NoError(t, l.Close())
}

// isMultipath checks that a connection uses MPTCP if both ends ask for it, and has fallen back to TCP otherwise.
// Package net is at the other end, and knows.
func isMultipath(t *testing.T, tr tandem.Transport) {
	for _, ours := range []bool{true, false} {
		for _, theirs := range []bool{true, false} {
			network := "tcp"
			if ours {
				network = "mptcp"
			}
			l, err := tr.Listen(network, "127.0.0.1:0", echoHandler{}, nil)
			require.NoError(t, err)
			var d net.Dialer
			d.SetMultipathTCP(theirs)
			c, err := d.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			pinged(t, c)
			speaks, err := c.(*net.TCPConn).MultipathTCP()
			require.NoError(t, err)
			assert.Equal(t, ours && theirs, speaks, "a connection that was accepted: ours %v, theirs %v", ours, theirs)
			require.NoError(t, c.Close())
			require.NoError(t, l.Close())

			var config net.ListenConfig
			config.SetMultipathTCP(theirs)
			nl, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			s := dialAt(t, tr, network, nl.Addr().String(), tandem.BaseHandler{})
			c, err = nl.Accept()
			require.NoError(t, err)
			speaks, err = c.(*net.TCPConn).MultipathTCP()
			require.NoError(t, err)
			assert.Equal(t, ours && theirs, speaks, "a connection that was dialled: ours %v, theirs %v", ours, theirs)
			require.NoError(t, s.Close())
			require.NoError(t, c.Close())

			l, err = tr.Listen("mptcp", "", echoHandler{}, &tandem.ListenOptions{From: nl.(*net.TCPListener)})
			if theirs {
				require.NoError(t, err)
				require.NoError(t, l.Close())
			} else {
				assert.ErrorContains(t, err, "does not listen on mptcp")
			}
			require.NoError(t, nl.Close())
		}
	}
}

// TestWithoutMultipathTCP switches MPTCP off, in a network namespace of its own.
func TestS25_WithoutMultipathTCP(t *testing.T) {
	needMPTCP(t)
	onProduction(t, func(t *testing.T, tr tandem.Transport) {
		over := make(chan struct{})
		go func() {
			defer close(over)
			runtime.LockOSThread() // which ends with the goroutine
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Logf("NOT TESTED: no network namespace: %v", err)
				return
			}
			if !assert.NoError(t, os.WriteFile("/proc/sys/net/mptcp/enabled", []byte("0"), 0)) {
				return
			}
			_, err := tr.Listen("mptcp4", "127.0.0.1:0", echoHandler{}, nil)
			withoutMultipath(t, err, "listen", "mptcp4")
			_, err = tr.Dial(t.Context(), "mptcp", "127.0.0.1:1", tandem.BaseHandler{}, nil)
			withoutMultipath(t, err, "dial", "mptcp")
		}()
		<-over
	})
}

func withoutMultipath(t *testing.T, err error, op, network string) {
	t.Helper()
	var failed *net.OpError
	if assert.ErrorAs(t, err, &failed) {
		assert.Equal(t, op, failed.Op)
		assert.Equal(t, network, failed.Net)
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, "set net.mptcp.enabled to 1")
	}
}

// needVsock skips a test, loudly, where the kernel has no vsock.
func needVsock(t *testing.T, tr tandem.Transport) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
		return
	}
	_, err = tr.Listen("vsock", "any:0", echoHandler{}, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	t.Skipf("NOT TESTED: %v", err)
}

func TestS25_Vsock(t *testing.T) {
	onProduction(t, func(t *testing.T, tr tandem.Transport) {
		needVsock(t, tr)
		t.Run("addresses", func(t *testing.T) { vsockListeners(t, tr) })
		t.Run("bytes", func(t *testing.T) {
			l, err := tr.Listen("vsock", "local:0", echoHandler{}, nil)
			if err != nil && strings.Contains(err.Error(), "vsock_loopback") {
				t.Skipf("NOT TESTED: this machine cannot talk to itself: %v", err)
			}
			require.NoError(t, err)
			require.NoError(t, l.Close())
			carriers(t, tr, "vsock", "local:0")
			carriers(t, tr, "vsock", "any:0")
		})
	})
}

// vsockListeners listens where nobody can connect, and dials where nobody listens.
func vsockListeners(t *testing.T, tr tandem.Transport) {
	l, err := tr.Listen("vsock", ":0", echoHandler{}, nil)
	require.NoError(t, err)
	at := l.Addr().(*tandem.VsockAddr)
	assert.Equal(t, "vsock", at.Network())
	assert.Equal(t, ^uint32(0), at.CID)
	assert.NotContains(t, []uint32{0, 1<<32 - 1}, at.Port, "the port that the kernel chose")
	_, err = tr.Listen("vsock", at.String(), echoHandler{}, nil)
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.ErrorContains(t, err, "listen vsock "+at.String())
	require.NoError(t, l.Close())
	l, err = tr.Listen("vsock", at.String(), echoHandler{}, nil)
	require.NoError(t, err, "the port is free again")
	require.NoError(t, l.Close())

	_, err = tr.Dial(t.Context(), "vsock", "local:1", tandem.BaseHandler{}, nil)
	var failed *net.OpError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "dial", failed.Op)
	assert.Equal(t, "vsock", failed.Net)
	assert.Equal(t, "local:1", failed.Addr.String())
	for _, bad := range []string{"nowhere:1", "1:x", "1"} {
		_, err = tr.Listen("vsock", bad, echoHandler{}, nil)
		require.ErrorAs(t, err, &failed, bad)
		_, err = tr.Dial(t.Context(), "vsock", bad, tandem.BaseHandler{}, nil)
		require.ErrorAs(t, err, &failed, bad)
	}
	_, err = tr.Dial(t.Context(), "vsock", "local:1", tandem.BaseHandler{}, &tandem.DialOptions{LocalAddr: &net.TCPAddr{}})
	assert.ErrorContains(t, err, "mismatched local address")
	_, err = tr.Listen("vsock", ":0", echoHandler{}, &tandem.ListenOptions{Socket: []tandem.SocketOption{tandem.NoDelay(true)}})
	assert.ErrorContains(t, err, "vsock")
	_, err = tr.Listen("mpunix", "", echoHandler{}, nil)
	assert.ErrorAs(t, err, new(net.UnknownNetworkError))
}
