package integration

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
)

// onStreams runs a test of streams on a Transport of each backend. When it is over no stream is left.
func onStreams(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	onTransports(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, tr.Shutdown(ctx))
		s := tr.Stats()
		assert.Positive(t, s.Opened, "no stream was used")
		assert.Equal(t, s.Opened, s.Closed, "streams opened and closed")
	}, run)
}

// serveFrames listens on a port of 127.0.0.1. Bytes that are no message fail the test.
func serveFrames[M any](t *testing.T, tr tandem.Transport, h *session.FrameHandler[M]) (host, port string) {
	t.Helper()
	closed := h.Close
	h.Close = func(s *tandem.Stream, err error) {
		assert.NoError(t, err, "the end of a stream")
		if closed != nil {
			closed(s, err)
		}
	}
	return listenStreams(t, tr, h)
}

// listenStreams listens on a port of 127.0.0.1 until the test ends.
func listenStreams(t *testing.T, tr tandem.Transport, h tandem.Handler) (host, port string) {
	t.Helper()
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	host, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return host, port
}
