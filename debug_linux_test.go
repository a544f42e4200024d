package tandem_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime/pprof"
	"runtime/trace"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// openPair opens a Transport with a stream on it, whose peer is a net.Conn.
func openPair(t *testing.T, o tandem.Options) (tandem.Transport, *tandem.Stream, net.Conn) {
	t.Helper()
	o.Backend, o.Loops, o.Logger = tandem.Epoll, 1, slog.New(slog.DiscardHandler)
	transport, err := tandem.Open(&o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = transport.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := transport.Dial(ctx, "tcp", l.Addr().String(), answering{}, nil)
	require.NoError(t, err)
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return transport, s, c
}

// loopOnly are the methods of a stream that belong to its loop.
var loopOnly = map[string]func(*tandem.Stream){
	"Buffered":   func(s *tandem.Stream) { s.Buffered() },
	"Peek":       func(s *tandem.Stream) { _, _ = s.Peek(-1) },
	"Next":       func(s *tandem.Stream) { _, _ = s.Next(-1) },
	"Discard":    func(s *tandem.Stream) { _, _ = s.Discard(-1) },
	"Read":       func(s *tandem.Stream) { _, _ = s.Read(nil) },
	"WriteTo":    func(s *tandem.Stream) { _, _ = s.WriteTo(new(bytes.Buffer)) },
	"Take":       func(s *tandem.Stream) { _, _ = s.Take(1) },
	"SetValue":   func(s *tandem.Stream) { s.SetValue(nil) },
	"SetHandler": func(s *tandem.Stream) { s.SetHandler(answering{}) },
	"StartTLS":   func(s *tandem.Stream) { _ = s.StartTLS(nil, true) },
}

// TestDebug calls what belongs to a loop on another goroutine, which panics; on the loop, and when it has ended, nothing does.
func TestDebug(t *testing.T) {
	transport, s, _ := openPair(t, tandem.Options{Debug: true})
	for method, fn := range loopOnly {
		func() {
			defer func() {
				assert.Contains(t, recover(), "Stream."+method+" of stream", "%s on another goroutine", method)
			}()
			fn(s)
		}()
	}
	done := make(chan struct{})
	for call, run := range map[string]func(func()) error{"Stream.Post": s.Post, "Loop.Post": transport.Loop(0).Post} {
		require.NoError(t, run(func() {
			for method, fn := range loopOnly {
				assert.NotPanics(t, func() { fn(s) }, "%s in %s", method, call)
			}
			done <- struct{}{}
		}))
		<-done
	}
	assert.NotPanics(t, func() {
		_, _ = s.Write([]byte("x"))
		s.PauseRead()
		s.ResumeRead()
		s.Value()
		s.Queued()
	})
	require.NoError(t, transport.Close())
	for method, fn := range loopOnly {
		assert.NotPanics(t, func() { fn(s) }, "%s when the loop has ended", method)
	}
}

// TestTrace looks for what a loop does in profiles and execution traces. It is there only if it was asked for.
func TestTrace(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("NOT TESTED: an execution trace is being made already")
	}
	for _, on := range []bool{false, true} {
		transport, s, peer := openPair(t, tandem.Options{Trace: on})
		var traced, profile bytes.Buffer
		require.NoError(t, trace.Start(&traced))
		_, err := peer.Write([]byte("ping"))
		require.NoError(t, err)
		_, err = peer.Read(make([]byte, 4))
		require.NoError(t, err)
		done := make(chan struct{})
		require.NoError(t, transport.Loop(0).Post(func() {
			_ = transport.Loop(0).Each(func(*tandem.Stream) {})
			_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
		}))
		require.NoError(t, s.Post(func() { close(done) }))
		<-done
		require.NoError(t, transport.Close())
		trace.Stop()
		for _, region := range []string{"OnData", "OnClose", "Post", "Each"} {
			assert.Equal(t, on, bytes.Contains(traced.Bytes(), []byte("tandem "+region)), "region %s with Trace %v", region, on)
		}
		assert.Equal(t, on, bytes.Contains(profile.Bytes(), []byte(`"tandem.loop":"0"`)), "the label with Trace %v", on)
	}
}
