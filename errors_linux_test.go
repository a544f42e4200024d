package tandem_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// prefixed checks the text of an error that a user sees: it is a *net.OpError, or says once who speaks, in front; and
// nothing in it is said twice.
func prefixed(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for line := range strings.Lines(err.Error()) { // errors.Join has one error a line
		parts := strings.Split(strings.TrimSpace(line), ": ")
		_, isOp := err.(*net.OpError)
		assert.True(t, isOp || parts[0] == "tandem", "%v (%T) says not who speaks", err, err)
		seen := map[string]bool{"tandem": isOp, "session": true, "loop": true}
		for _, part := range parts {
			assert.False(t, seen[part], "%q is one word too much in: %v", part, err)
			seen[part] = true
		}
	}
	var inner *net.OpError
	if op, ok := err.(*net.OpError); ok {
		assert.False(t, errors.As(op.Err, &inner), "an OpError in an OpError: %v", err)
	}
}

// TestErrorsOfBeginnings gives what no listener, dial or stream can be made of.
func TestErrorsOfBeginnings(t *testing.T) {
	tr := openOrSkip(t, &tandem.Options{Backend: tandem.Epoll, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	l, err := tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	bad := tandem.StreamOptions{HighWater: -1}
	listen := func(network, address string, h tandem.Handler, o *tandem.ListenOptions) error {
		_, err := tr.Listen(network, address, h, o)
		return err
	}
	dial := func(network, address string, h tandem.Handler, o *tandem.DialOptions) error {
		_, err := tr.Dial(t.Context(), network, address, h, o)
		return err
	}
	sockopt := []tandem.SocketOption{tandem.Linger(time.Second)}
	for name, err := range map[string]error{
		"listen, no handler":    listen("tcp", "127.0.0.1:0", nil, nil),
		"listen, half a one":    listen("tcp", "127.0.0.1:0", &session.FrameHandler[[]byte]{}, nil),
		"listen, network":       listen("udp", "127.0.0.1:0", echoHandler{}, nil),
		"listen, address":       listen("tcp", "127.0.0.1", echoHandler{}, nil),
		"listen, address taken": listen("tcp", l.Addr().String(), echoHandler{}, nil),
		"listen, Backlog":       listen("tcp", "127.0.0.1:0", echoHandler{}, &tandem.ListenOptions{Backlog: -1}),
		"listen, stream option": listen("tcp", "127.0.0.1:0", echoHandler{}, &tandem.ListenOptions{StreamOptions: bad}),
		"listen, socket option": listen("tcp", "127.0.0.1:0", echoHandler{}, &tandem.ListenOptions{Socket: sockopt}),
		"dial, no handler":      dial("tcp", l.Addr().String(), nil, nil),
		"dial, network":         dial("udp", l.Addr().String(), echoHandler{}, nil),
		"dial, address":         dial("tcp", "127.0.0.1", echoHandler{}, nil),
		"dial, nobody listens":  dial("tcp", free.Addr().String(), echoHandler{}, nil),
		"dial, stream option":   dial("tcp", l.Addr().String(), echoHandler{}, &tandem.DialOptions{StreamOptions: bad}),
		"dial, socket option":   dial("tcp", l.Addr().String(), echoHandler{}, &tandem.DialOptions{Socket: sockopt}),
		"dial, timeout":         dial("tcp", l.Addr().String(), echoHandler{}, &tandem.DialOptions{Timeout: -1}),
	} {
		t.Run(name, func(t *testing.T) {
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			assert.Same(t, op, err, "it is no *net.OpError itself: %v", err)
			prefixed(t, err)
		})
	}
}

// TestErrorsOfCalls calls methods of a Transport in vain.
func TestErrorsOfCalls(t *testing.T) {
	tr := openOrSkip(t, &tandem.Options{Backend: tandem.Epoll, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	t.Run("adopt", func(t *testing.T) {
		_, err := tr.Adopt(nil, echoHandler{})
		prefixed(t, err)
		_, err = tr.Adopt(&net.TCPConn{}, echoHandler{})
		prefixed(t, err)
		file, err := os.Open(os.DevNull)
		require.NoError(t, err)
		defer func() { _ = file.Close() }()
		_, err = tr.Adopt(file, echoHandler{})
		prefixed(t, err)
	})
	t.Run("poll", func(t *testing.T) {
		_, err := tr.Poll(0)
		prefixed(t, err)
	})
	t.Run("shutdown", func(t *testing.T) {
		prefixed(t, tr.Shutdown(nil)) //nolint:staticcheck // that is the error
	})
	t.Run("inherited", func(t *testing.T) {
		t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		t.Setenv("LISTEN_FDS", "many")
		_, err := tandem.InheritedListeners()
		prefixed(t, err)
	})
}

// dying ends its loop when it is told to.
type dying struct {
	tandem.BaseHandler
	closed chan error
}

func (dying) OnData(*tandem.Stream)                 { runtime.Goexit() }
func (h dying) OnClose(_ *tandem.Stream, err error) { h.closed <- err }

// TestErrorsOfADeadLoop has a loop die and asks everybody why.
func TestErrorsOfADeadLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, b tandem.Backend) {
		tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		h := dying{closed: make(chan error, 1)}
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte("die"))
		require.NoError(t, err)
		closed := <-h.closed
		prefixed(t, closed)
		var op *net.OpError
		require.ErrorAs(t, closed, &op)
		assert.Equal(t, c.LocalAddr().String(), op.Addr.String(), "the peer")
		assert.Equal(t, c.RemoteAddr().String(), op.Source.String(), "the stream")
		<-tr.Done()
		prefixed(t, tr.Err())
		prefixed(t, l.Err())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = tr.Dial(ctx, "tcp", l.Addr().String(), echoHandler{}, nil)
		prefixed(t, err)
		_, err = tr.Listen("tcp", "127.0.0.1:0", echoHandler{}, nil)
		prefixed(t, err)
	})
}

// TestErrorsOfMessages ends streams because of what their peers send, or do not send.
func TestErrorsOfMessages(t *testing.T) {
	tr := openOrSkip(t, &tandem.Options{Backend: tandem.Epoll, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	closed := make(chan error, 1)
	h := session.Frames(frame.U64{MaxPayload: 8}, func(*tandem.Stream, []byte) {})
	h.MessageTimeout = time.Millisecond
	h.Close = func(_ *tandem.Stream, err error) { closed <- err }
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(t, err)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = c.Write([]byte{0})
	require.NoError(t, err)
	err = <-closed
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	prefixed(t, err)
}
