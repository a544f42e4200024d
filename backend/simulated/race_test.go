package simulated_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestInstantConnect has connects be over when they have begun: the first address wins, and no other is tried.
func TestInstantConnect(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{Faults: simulated.Faults{Instant: 1}}, 1)
		first, err := w.k.Listen("tcp", "[::1]:80")
		require.NoError(t, err)
		second, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		path, err := w.k.Listen("unix", "path")
		require.NoError(t, err)
		for _, c := range []struct {
			network, address string
			at               *simulated.PeerListener
		}{{"tcp", "[::]:80", first}, {"tcp6", ":80", first}, {"tcp4", ":80", second}, {"unix", "path", path}} {
			h, before := &hooks{}, len(c.at.Peers())
			var s *session.Stream
			w.beside("Dial", func() { s, err = w.e.Dial(t.Context(), c.network, c.address, h, nil) })
			require.NoError(t, err)
			require.True(t, h.opened)
			require.NotNil(t, s.LocalAddr())
			require.Len(t, c.at.Peers(), before+1, "%v", c)
			_, err = s.Write([]byte("hello"))
			require.NoError(t, err)
			w.steps("its bytes", func() bool { return string(c.at.Peers()[before].Received()) == "hello" })
		}
		require.Len(t, second.Peers(), 1) // for tcp4 alone
		w.endStepped()
	})
}

// TestSelfConnect dials the very address that it dials from, which the kernel connects to itself: that is nobody's answer.
func TestSelfConnect(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		o := &session.DialOptions{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 999}}
		err := w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "127.0.0.1:999", &hooks{}, o); return err })
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Zero(t, w.k.OpenDescriptors())
		w.endStepped()
	})
}

// TestDialFromAnyAddress has a local address that names only a port: it is of the family that is dialled.
func TestDialFromAnyAddress(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		for address, local := range map[string]netip.Addr{"127.0.0.1:80": netip.IPv4Unspecified(), "[::1]:80": netip.IPv6Unspecified()} {
			_, err := w.k.Listen("tcp", address)
			require.NoError(t, err)
			var s *session.Stream
			w.beside("Dial", func() {
				s, err = w.e.Dial(t.Context(), "tcp", address, &hooks{}, &session.DialOptions{LocalAddr: &net.TCPAddr{Port: 77}})
			})
			require.NoError(t, err)
			require.Equal(t, netip.AddrPortFrom(local, 77), s.LocalAddr().(*net.TCPAddr).AddrPort())
		}
		w.endStepped()
	})
}

// TestDialOptionsOfSockets has an option that cannot be, one that the kernel refuses before the connect, and one that has to
// be set again after it and cannot.
func TestDialOptionsOfSockets(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		l, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		dial := func(o *session.DialOptions) error {
			return w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "127.0.0.1:80", &hooks{}, o); return err })
		}
		var option *backend.SocketOptionError
		require.ErrorAs(t, dial(&session.DialOptions{Socket: []backend.SocketOption{backend.FastOpen(5)}}), &option)
		require.ErrorIs(t, option, syscall.EINVAL)
		quick := []backend.SocketOption{backend.QuickAck(true)}
		w.k.Forbid(quick[0], syscall.EPERM)
		require.ErrorIs(t, dial(&session.DialOptions{Socket: quick}), syscall.EPERM)
		require.Empty(t, l.Peers())
		w.k.Forbid(quick[0], nil)
		require.NoError(t, dial(&session.DialOptions{Socket: quick}))
		late := control(func() error { w.k.Forbid(quick[0], syscall.EPERM); return nil })
		late.Socket = quick
		err = dial(late)
		require.ErrorIs(t, err, syscall.EPERM)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "127.0.0.1:80", op.Addr.String())
		require.Len(t, l.Peers(), 2)
		w.steps("the peer's end", func() bool { return l.Peers()[1].EOF() })
		require.False(t, l.Peers()[0].EOF())
		w.endStepped()
	})
}

// TestDialAbortedAtEachStep ends a dial from another goroutine at each step of the loop's: OnClose comes once, and nothing is
// left. Behind OnOpen it is a stream like any other.
func TestDialAbortedAtEachStep(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		opened := 0
		for n := range 30 {
			w, _ := stepped(t, completions, simulated.Config{Latency: time.Microsecond}, 1)
			_, err := w.k.Listen("tcp", "127.0.0.1:80")
			require.NoError(t, err)
			_, err = w.k.Listen("tcp", "[::1]:80")
			require.NoError(t, err)
			h := &hooks{}
			s, err := w.e.Connect("tcp", "[::]:80", h, nil)
			require.NoError(t, err)
			for range n {
				w.k.Step()
			}
			require.NoError(t, s.AbortWith(errOnPurpose))
			w.steps("OnClose", h.over)
			require.ErrorIs(t, h.err, errOnPurpose)
			if h.opened {
				opened++
			}
			w.steps("no descriptor", func() bool { return w.k.OpenDescriptors() == 0 })
			w.endStepped()
			require.Equal(t, 1, h.ended)
		}
		require.Positive(t, opened)
		require.Less(t, opened, 30)
	})
}

// TestDialEndedInCallback ends a dial in a callback: before it has begun, when its name has been looked up and the loop does
// not know yet, and when its socket was made and the loop does not know.
func TestDialEndedInCallback(t *testing.T) {
	for step := range 3 {
		bubbles(t, func(t *testing.T, completions bool) {
			w, _ := stepped(t, completions, simulated.Config{Pass: time.Sleep}, 1)
			w.nobody()
			dial, h := &hooks{}, &hooks{}
			var d *session.Stream
			end := func() {
				if step > 0 {
					synctest.Wait() // whatever the other goroutine has to say is on its way
				}
				require.NoError(t, d.Abort())
			}
			h.data = func(s *session.Stream) {
				_, _ = s.Discard(-1)
				var err error
				address := map[bool]string{true: "192.0.2.2:1", false: "both.test.:1"}[step == 0]
				d, err = w.e.Connect("tcp", address, dial, &session.DialOptions{Resolver: w.k.Resolver(), Timeout: time.Minute})
				require.NoError(t, err)
				if step == 2 {
					synctest.Wait()
					require.NoError(t, s.Post(end)) // behind what asks for the socket
					return
				}
				end()
			}
			p := w.peer(h, nil)
			w.steps("OnOpen", h.isOpen)
			p.Send([]byte("x"))
			w.steps("OnClose", dial.over)
			require.ErrorIs(t, dial.err, net.ErrClosed)
			require.False(t, dial.opened)
			w.steps("no socket of the dial", func() bool { return w.k.OpenDescriptors() == 2 })
			w.k.Advance(2 * time.Minute)
			p.Send([]byte("x"))
			h.data = func(s *session.Stream) { _, _ = s.Discard(-1) }
			w.steps("a byte", func() bool { return w.e.Stats().BytesIn == 2 })
			require.Zero(t, w.e.Stats().Timers) // nothing of it is left on the loop
			w.endStepped()
			require.Equal(t, 1, dial.ended)
		})
	}
}

// TestDialThatCannotBeWatched has memory be short once the socket is made.
func TestDialThatCannotBeWatched(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		o := control(func() error { w.k.Shortage(syscall.ENOMEM); return nil })
		err := w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "192.0.2.1:1", &hooks{}, o); return err })
		require.ErrorIs(t, err, syscall.ENOMEM)
		require.Zero(t, w.k.OpenDescriptors())
		w.k.Shortage(nil)
		w.k.SetFaults(simulated.Faults{Refuse: 1})
		err = w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "192.0.2.1:1", &hooks{}, nil); return err })
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		w.endStepped()
	})
}

// TestDialEndedInControl ends a dial while Control has its socket, which then nobody needs.
func TestDialEndedInControl(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{Pass: time.Sleep}, 1)
		w.nobody()
		h := &hooks{}
		var s *session.Stream
		ended := false
		o := &session.DialOptions{Resolver: w.k.Resolver(), ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
			_ = s.AbortWith(errOnPurpose)
			<-ctx.Done()
			ended = true
			return nil
		}}
		s, err := w.e.Connect("tcp", "both.test.:1", h, o)
		require.NoError(t, err)
		w.steps("OnClose", h.over)
		require.ErrorIs(t, h.err, errOnPurpose)
		synctest.Wait()
		require.True(t, ended)
		require.Zero(t, w.k.OpenDescriptors())
		w.endStepped()
	})
}

// TestDialContextEndsInOnOpen has the context end when the stream is connected, and Dial has not been told: it lives.
func TestDialContextEndsInOnOpen(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		l, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		h := &hooks{open: func(*session.Stream) {
			cancel()
			synctest.Wait() // Dial has seen that
		}}
		var s *session.Stream
		w.beside("Dial", func() { s, err = w.e.Dial(ctx, "tcp", "127.0.0.1:80", h, nil) })
		require.NoError(t, err)
		_, err = s.Write([]byte("x"))
		require.NoError(t, err)
		w.steps("a byte", func() bool { return l.Peers()[0].Count() == 1 })
		w.endStepped()
	})
}

// TestDialOnADeadLoop has a loop fail in the middle of dials, and refuse others.
func TestDialOnADeadLoop(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, simulated.Config{Pass: time.Sleep}, 1)
		w.nobody()
		h, named, o := &hooks{}, &hooks{}, &session.DialOptions{Resolver: w.k.Resolver()}
		_, err := w.e.Connect("tcp", "192.0.2.2:1", h, nil)
		require.NoError(t, err)
		_, err = w.e.Connect("tcp", "both.test.:1", named, o)
		require.NoError(t, err)
		dialled := asks(func() error { _, err := w.e.Dial(t.Context(), "tcp", "192.0.2.2:1", &hooks{}, nil); return err })
		w.steps("three attempts", func() bool { return w.e.Stats().Sockets == 3 })
		drivers[0].Fail()
		w.steps("the end of the loop", func() bool { return w.e.Err() != nil })
		for _, err := range []error{h.err, named.err, w.answer("Dial", dialled)} {
			require.ErrorIs(t, err, simulated.ErrFailed)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "dial", op.Op)
		}
		synctest.Wait()
		require.Zero(t, w.k.OpenDescriptors())
		_, err = w.e.Connect("tcp", "192.0.2.2:1", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = w.e.Dial(t.Context(), "tcp", "192.0.2.2:1", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, w.k.OpenDescriptors())
		_ = w.e.Close()
		require.Equal(t, 1, h.ended)
	})
}

// TestResolverThatFails has the user's Dial function of a Resolver panic, or end its goroutine.
func TestResolverThatFails(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{Pass: time.Sleep}, 1)
		dial := func(fn func()) error {
			o := &session.DialOptions{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				fn()
				return nil, nil
			}}}
			return w.ask("Dial", func() error { _, err := w.e.Dial(t.Context(), "tcp", "both.test.:1", &hooks{}, o); return err })
		}
		var failure *session.PanicError
		require.ErrorAs(t, dial(func() { panic(errOnPurpose) }), &failure)
		require.Equal(t, errOnPurpose, failure.Value)
		require.ErrorContains(t, dial(runtime.Goexit), "Goexit")
		w.endStepped()
	})
}
