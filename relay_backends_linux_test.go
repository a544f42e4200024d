package tandem_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// takes hands on the streams that open, and reads nothing.
type takes struct {
	tandem.BaseHandler
	opened chan *tandem.Stream
}

func (h takes) OnOpen(s *tandem.Stream) { h.opened <- s }
func (takes) OnData(*tandem.Stream)     {}

// streamOn opens a Transport, and returns a stream of it and its peer.
func streamOn(t *testing.T, b tandem.Backend) (*tandem.Stream, *net.TCPConn) {
	t.Helper()
	o := silent(b)
	tr := openOrSkip(t, &o)
	t.Cleanup(func() { assert.NoError(t, tr.Close()) })
	return accepted(t, tr)
}

// accepted returns a stream of a Transport and its peer.
func accepted(t *testing.T, tr tandem.Transport) (*tandem.Stream, *net.TCPConn) {
	t.Helper()
	h := takes{opened: make(chan *tandem.Stream, 1)}
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(t, err)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(connPatience)))
	return <-h.opened, c.(*net.TCPConn)
}

// TestRelayBetweenBackends joins streams of each two backends: the descriptors of one mean nothing to another.
func TestRelayBetweenBackends(t *testing.T) {
	all := []tandem.Backend{tandem.Epoll, tandem.Uring, tandem.Portable}
	for _, from := range all {
		for _, to := range all {
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				a, pa := streamOn(t, from)
				b, pb := streamOn(t, to)
				done := make(chan error, 1)
				require.NoError(t, tandem.Relay(a, b, &tandem.RelayOptions{OnDone: func(err error, _ tandem.RelayStats) { done <- err }}))
				want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
				send := func(c *net.TCPConn) {
					_, err := c.Write(want)
					assert.NoError(t, err)
					assert.NoError(t, c.CloseWrite())
				}
				go send(pa)
				got, err := io.ReadAll(pb)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), "%d bytes came, not the %d that were sent", len(got), len(want))
				go send(pb)
				got, err = io.ReadAll(pa)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), "%d bytes came back, not the %d that were sent", len(got), len(want))
				require.NoError(t, <-done)
			})
		}
	}
}

// TestRelayOnOneLoop: what the loop moves itself is no write of another goroutine.
func TestRelayOnOneLoop(t *testing.T) {
	production(t, func(t *testing.T, b tandem.Backend) {
		o := silent(b)
		o.Loops = 1
		tr := openOrSkip(t, &o)
		defer tr.Close()
		a, pa := accepted(t, tr)
		c, pc := accepted(t, tr)
		require.NoError(t, tandem.Relay(a, c, nil))
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
		go func() {
			_, err := pa.Write(want)
			assert.NoError(t, err)
			assert.NoError(t, pa.CloseWrite())
		}()
		got, err := io.ReadAll(pc)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "%d bytes came, not the %d that were sent", len(got), len(want))
		s := tr.Stats()
		assert.Less(t, s.BytesCopied, s.BytesIn, "nothing moved within the kernel, and nothing is tested")
		assert.Zero(t, s.DirectWrites)
	})
}
