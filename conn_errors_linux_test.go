package tandem_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// socketConn is what a *net.TCPConn and our Conns have in common.
type socketConn interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	File() (*os.File, error)
}

// linger is what TCP connections have besides.
type linger interface{ SetLinger(seconds int) error }

// connOperations are tried on a connection of package net and on ours. Each gets both ends of a fresh pair, and says what
// it got.
var connOperations = []struct {
	name string
	do   func(c, peer socketConn) []any
}{
	{"read nothing", func(c, _ socketConn) []any { return got(c.Read(nil)) }},
	{"read nothing with a deadline that has passed", func(c, _ socketConn) []any {
		_ = c.SetReadDeadline(time.Now().Add(-time.Second))
		return got(c.Read(nil))
	}},
	{"write nothing", func(c, _ socketConn) []any { return got(c.Write(nil)) }},
	{"deadlines that have passed", func(c, _ socketConn) []any {
		_ = c.SetDeadline(time.Unix(1, 0))
		return append(got(c.Read(make([]byte, 1))), got(c.Write([]byte("x")))...)
	}},
	{"write nothing with a deadline that has passed", func(c, _ socketConn) []any {
		_ = c.SetDeadline(time.Unix(1, 0))
		return got(c.Write(nil))
	}},
	{"deadline", func(c, _ socketConn) []any {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		return got(c.Read(make([]byte, 1)))
	}},
	{"end of file", func(c, peer socketConn) []any {
		_ = peer.CloseWrite()
		return append(got(c.Read(make([]byte, 1))), got(c.Read(nil))...)
	}},
	{"after close", afterClose},
	{"transfers after close", func(c, peer socketConn) []any {
		_ = c.Close()
		n, err := c.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		m, err2 := c.(io.WriterTo).WriteTo(io.Discard)
		k, err3 := c.(io.ReaderFrom).ReadFrom(peer)
		return []any{n, err, m, err2, k, err3}
	}},
	{"close with a read", func(c, _ socketConn) []any {
		ended := readEnd(c)
		time.Sleep(time.Millisecond)
		_ = c.Close()
		return []any{<-ended}
	}},
	{"close for writing twice", func(c, _ socketConn) []any {
		return append([]any{c.CloseWrite(), c.CloseWrite()}, got(c.Write([]byte("x")))...)
	}},
	{"close for reading", func(c, _ socketConn) []any {
		return append([]any{c.CloseRead(), c.CloseRead()}, got(c.Read(make([]byte, 1)))...)
	}},
	{"reset", func(c, peer socketConn) []any {
		if l, ok := peer.(linger); ok {
			_ = l.SetLinger(0)
		}
		_, _ = c.Write([]byte("unread"))
		time.Sleep(time.Millisecond)
		_ = peer.Close()
		all := got(c.Read(make([]byte, 1)))
		all = append(all, got(c.Write([]byte("x")))...)
		return append(all, got(c.Read(make([]byte, 1)))...)
	}},
	{"transfer to a peer that is gone", func(c, peer socketConn) []any {
		_ = peer.Close()
		_, _ = c.Write([]byte("x"))
		time.Sleep(time.Millisecond)
		_, _ = c.Write([]byte("x"))
		n, err := c.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		return []any{n, err}
	}},
	{"error of a source", func(c, _ socketConn) []any {
		n, err := c.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader("abc"), failing{}))
		return []any{n, err}
	}},
	{"raw", func(c, _ socketConn) []any {
		_ = c.SetDeadline(time.Unix(1, 0))
		raw, err := c.SyscallConn()
		return []any{err, raw.Control(func(uintptr) {}), raw.Read(func(uintptr) bool { return false }), raw.Write(func(uintptr) bool { return false })}
	}},
	{"file", func(c, _ socketConn) []any {
		f, err := c.File()
		_, werr := f.Write([]byte("x"))
		return []any{err, werr, f.Close()}
	}},
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func afterClose(c, _ socketConn) []any {
	raw, _ := c.SyscallConn()
	all := []any{c.Close(), c.Close(), c.CloseRead(), c.CloseWrite()}
	all = append(all, got(c.Read(nil))...)
	all = append(all, got(c.Read(make([]byte, 1)))...)
	all = append(all, got(c.Write(nil))...)
	all = append(all, got(c.Write([]byte("x")))...)
	all = append(all, c.SetDeadline(time.Now()), c.SetReadDeadline(time.Now()), c.SetWriteDeadline(time.Time{}))
	if l, ok := c.(linger); ok && c.LocalAddr().Network() == "tcp" {
		all = append(all, l.SetLinger(0))
	}
	_, ferr := c.File()
	_, rerr := c.SyscallConn()
	return append(all, ferr, rerr, raw.Control(func(uintptr) {}), raw.Read(func(uintptr) bool { return true }), raw.Write(func(uintptr) bool { return true }))
}

func got(n int, err error) []any { return []any{n, err} }

// told is a result as text, without addresses, and what errors.Is and others say of it.
func told(c net.Conn, result any) string {
	err, ok := result.(error)
	if !ok {
		return fmt.Sprint(result)
	}
	text := err.Error()
	for _, a := range []struct{ addr, name string }{{c.LocalAddr().String(), "LOCAL"}, {c.RemoteAddr().String(), "REMOTE"}} {
		if a.addr != "" {
			text = strings.ReplaceAll(text, a.addr, a.name)
		}
	}
	for _, is := range []error{
		io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE, os.ErrClosed, io.ErrNoProgress,
	} {
		if errors.Is(err, is) {
			text += fmt.Sprintf(" [%v]", is)
		}
	}
	if n, ok := err.(net.Error); ok {
		text += fmt.Sprintf(" timeout=%v", n.Timeout())
	}
	return fmt.Sprintf("%T %s", err, text)
}

// netPair is a connection of package net, and its peer.
func netPair(t *testing.T, network string) (c, peer socketConn) {
	t.Helper()
	l, err := net.Listen(network, listenAddress(t, network))
	require.NoError(t, err)
	defer l.Close()
	p, err := net.Dial(network, l.Addr().String())
	require.NoError(t, err)
	a, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.Close(), p.Close() })
	return a.(socketConn), p.(socketConn)
}

// TestN01_Errors compares errors with those of package net.
func TestN01_Errors(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		for _, op := range connOperations {
			if _, ok := any(&net.UnixConn{}).(io.WriterTo); network == "unix" && !ok && strings.Contains(op.name, "transfer") || network == "unix" && op.name == "error of a source" {
				continue // a *net.UnixConn has none
			}
			theirs, theirPeer := netPair(t, network)
			peer, ours := connPair(t, tr, network)
			want, have := op.do(theirs, theirPeer), op.do(ours.(socketConn), peer.(socketConn))
			require.Len(t, have, len(want), op.name)
			for i := range want {
				assert.Equal(t, told(theirs, want[i]), told(ours, have[i]), "%s: result %d", op.name, i)
			}
		}
	})
}

// TestN01_Network has errors name the network that was asked for, as package net does.
func TestN01_Network(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		a, b := connPair(t, tr, "tcp4")
		for _, c := range []net.Conn{a, b} {
			require.NoError(t, c.Close())
			_, err := c.Read(make([]byte, 1))
			require.ErrorContains(t, err, "read tcp4 "+c.LocalAddr().String()+"->"+c.RemoteAddr().String()+": use of closed network connection")
		}
	})
}

// TestConnsWithTLSAreRefused keeps a program from sending in plain what it wants encrypted.
func TestConnsWithTLSAreRefused(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		_, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", &tandem.ListenOptions{TLS: &tls.Config{}})
		require.ErrorIs(t, err, errors.ErrUnsupported)
		_, err = tandem.DialConn(context.Background(), tr, "tcp", "127.0.0.1:1", &tandem.DialOptions{TLS: &tls.Config{}})
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}
