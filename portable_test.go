package tandem_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// These tests run on every system.

// openPortable opens a Transport of goroutines over package net.
func openPortable(t *testing.T) tandem.Transport {
	t.Helper()
	tr, err := tandem.Open(&tandem.Options{Backend: tandem.Portable, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tr.Close()) })
	return tr
}

// echoer answers what comes, and closes when the peer has finished.
type echoer struct{ tandem.BaseHandler }

func (echoer) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}

// keeper hands on what comes, and how the stream ends.
type keeper struct {
	tandem.BaseHandler
	got chan []byte
	end chan error
}

func (k keeper) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	k.got <- append([]byte(nil), p...)
}

func (k keeper) OnClose(_ *tandem.Stream, err error) { k.end <- err }

func TestPortableEchoes(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			tr := openPortable(t)
			l, err := tr.Listen(network, address, echoer{}, nil)
			require.NoError(t, err)
			t.Run("a net.Conn", func(t *testing.T) {
				c, err := net.Dial(network, l.Addr().String())
				require.NoError(t, err)
				defer c.Close()
				require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
				message, answer := make([]byte, 1<<20), make([]byte, 1<<20)
				for i := range message {
					message[i] = byte(i * 7)
				}
				go func() { _, _ = c.Write(message) }()
				_, err = io.ReadFull(c, answer)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(message, answer), "the answer is another") // Equal would print a megabyte
			})
			t.Run("a Stream", func(t *testing.T) {
				k := keeper{got: make(chan []byte, 8), end: make(chan error, 1)}
				s, err := tr.Dial(t.Context(), network, l.Addr().String(), k, nil)
				require.NoError(t, err)
				_, err = s.Write([]byte("ping"))
				require.NoError(t, err)
				var got []byte
				for len(got) < 4 {
					select {
					case p := <-k.got:
						got = append(got, p...)
					case <-time.After(10 * time.Second):
						require.FailNow(t, "no answer within 10 s")
					}
				}
				assert.Equal(t, "ping", string(got))
				require.NoError(t, s.Close())
				select {
				case err := <-k.end:
					assert.NoError(t, err)
				case <-time.After(10 * time.Second):
					require.FailNow(t, "no OnClose within 10 s")
				}
			})
		})
	}
}

func TestPortableConns(t *testing.T) {
	tr := openPortable(t)
	l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if assert.NoError(t, err) {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := tandem.DialConn(t.Context(), tr, "tcp", l.Addr().String(), nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = c.Write([]byte("ping"))
	require.NoError(t, err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	assert.Equal(t, "ping", string(answer))
}

// A dial that is refused says so with the errno that all systems have.
func TestPortableRefused(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	_, err = openPortable(t).Dial(t.Context(), "tcp", address, tandem.BaseHandler{}, nil)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "dial", op.Op)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// TestPortableIsChosen asks for it by the environment, and by Auto where there is nothing else.
func TestPortableIsChosen(t *testing.T) {
	o := &tandem.Options{Logger: slog.New(slog.DiscardHandler)}
	t.Setenv("TANDEM_BACKEND", "portable")
	tr, err := tandem.Open(o)
	require.NoError(t, err)
	defer tr.Close()
	assert.Equal(t, tandem.Portable, tr.Info().Backend)
	assert.Contains(t, tr.Info().Reason, "TANDEM_BACKEND")
	assert.Contains(t, tr.Info().Features, "goroutines")
	t.Setenv("TANDEM_BACKEND", "")
	other, err := tandem.Open(o)
	require.NoError(t, err)
	defer other.Close()
	if i := other.Info(); runtime.GOOS != "linux" {
		assert.Equal(t, tandem.Portable, i.Backend)
		assert.Contains(t, i.Reason, "not Linux")
		assert.NotContains(t, i.String(), "Linux "+i.Kernel)
	} else {
		assert.NotEqual(t, tandem.Portable, i.Backend)
	}
}

// TestPortablePassesNoFiles asks for files where there are none, and expects to be told so.
func TestPortablePassesNoFiles(t *testing.T) {
	_, err := tandem.Open(&tandem.Options{Backend: tandem.Portable, StreamOptions: tandem.StreamOptions{ReceiveFiles: 1}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, "Options.ReceiveFiles is 1")

	tr := openPortable(t)
	path := filepath.Join(t.TempDir(), "s")
	_, err = tr.Listen("unix", path, echoer{}, &tandem.ListenOptions{StreamOptions: tandem.StreamOptions{ReceiveFiles: 1}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	l, err := tr.Listen("unix", path, echoer{}, nil)
	require.NoError(t, err)
	k := keeper{got: make(chan []byte, 8), end: make(chan error, 1)}
	_, err = tr.Dial(t.Context(), "unix", l.Addr().String(), k, &tandem.DialOptions{StreamOptions: tandem.StreamOptions{ReceiveFiles: 1}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	s, err := tr.Dial(t.Context(), "unix", l.Addr().String(), k, nil)
	require.NoError(t, err)
	assert.ErrorIs(t, s.WriteFiles([]byte("m"), os.Stdin), errors.ErrUnsupported)
	require.NoError(t, s.WriteFiles([]byte("m")), "without files it is Write")
	assert.Equal(t, "m", string(<-k.got))
	require.NoError(t, s.Close())
	require.NoError(t, <-k.end)
}

// TestPortableNetworks asks for networks that package net does not have, or has in its own way.
func TestPortableNetworks(t *testing.T) {
	tr := openPortable(t)
	for network, address := range map[string]string{"vsock": "any:0", "mptcp": "127.0.0.1:0"} {
		_, err := tr.Listen(network, address, echoer{}, nil)
		assert.ErrorIs(t, err, errors.ErrUnsupported, network)
		_, err = tr.Dial(t.Context(), network, address, echoer{}, nil)
		assert.ErrorIs(t, err, errors.ErrUnsupported, network)
		assert.ErrorContains(t, err, "for epoll and io_uring")
	}
}
