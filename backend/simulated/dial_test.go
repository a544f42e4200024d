package simulated_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

func control(fn func() error) *session.DialOptions {
	return &session.DialOptions{Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(c.Control(func(uintptr) {}), fn())
	}}
}

var errOnPurpose = errors.New("on purpose")

// dialFailures are dials that fail, and how. Nobody listens at 192.0.2.1:1, 192.0.2.2:1 answers nobody.
var dialFailures = map[string]struct {
	address string
	options *session.DialOptions
	check   func(t *testing.T, err error)
}{
	"refused":          {"192.0.2.1:1", nil, is(syscall.ECONNREFUSED)},
	"silent":           {"192.0.2.2:1", nil, is(syscall.ETIMEDOUT)},
	"timed out":        {"192.0.2.2:1", &session.DialOptions{Timeout: time.Second}, is(os.ErrDeadlineExceeded)},
	"timed out before": {"192.0.2.2:1", &session.DialOptions{Timeout: -1}, is(os.ErrDeadlineExceeded)},
	"name timed out":   {"both.test.:1", &session.DialOptions{Timeout: time.Second}, is(os.ErrDeadlineExceeded)},
	"name refused":     {"none.test.:1", nil, is(syscall.ECONNREFUSED)},
	"name unknown": {"unknown.test.:1", nil, func(t *testing.T, err error) {
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns)
	}},
	"Control":      {"192.0.2.1:1", control(func() error { return errOnPurpose }), is(errOnPurpose)},
	"name Control": {"none.test.:1", control(func() error { return errOnPurpose }), is(errOnPurpose)},
	"name service": {"none.test.:nothing", nil, func(t *testing.T, err error) {
		require.ErrorContains(t, err, "nothing")
	}},
	"name unknown timed out before": {"unknown.test.:1", &session.DialOptions{Timeout: -1}, is(os.ErrDeadlineExceeded)},
	"Control panics":                {"192.0.2.1:1", control(func() error { panic(errOnPurpose) }), is(errOnPurpose)},
	"name Control exits": {"none.test.:1", control(func() error { runtime.Goexit(); return nil }), func(t *testing.T, err error) {
		require.ErrorContains(t, err, "Goexit")
	}},
	"ControlContext": {"192.0.2.1:1", &session.DialOptions{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		return errors.Join(ctx.Err(), errOnPurpose)
	}}, is(errOnPurpose)},
	"family": {"none.test.:1", &session.DialOptions{LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}, func(t *testing.T, err error) {
		require.ErrorContains(t, err, "no suitable address")
	}},
}

func is(want error) func(*testing.T, error) {
	return func(t *testing.T, err error) { require.ErrorIs(t, err, want) }
}

// nobody makes hosts that do not answer, and their names.
func (w *world) nobody() {
	l, err := w.k.Listen("tcp", "192.0.2.2:1")
	require.NoError(w.t, err)
	l.Silent(true)
	w.k.Name("none.test", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3"))
	w.k.Name("both.test", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"))
}

func TestDialsThatFail(t *testing.T) {
	for name, c := range dialFailures {
		t.Run(name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, completions bool) {
				w, _ := stepped(t, completions, simulated.Config{Pass: time.Sleep}, 2)
				w.nobody()
				o := &session.DialOptions{}
				if c.options != nil {
					*o = *c.options
				}
				o.Resolver = w.k.Resolver()
				h := &hooks{}
				_, err := w.e.Connect("tcp", c.address, h, o)
				require.NoError(t, err)
				w.steps("OnClose", h.over)
				require.False(t, h.opened)
				var op *net.OpError
				require.ErrorAs(t, h.err, &op)
				require.Equal(t, "dial", op.Op)
				c.check(t, h.err)
				if name != "name Control exits" { // it would end this goroutine, too
					h = &hooks{}
					w.beside("Dial", func() { _, err = w.e.Dial(t.Context(), "tcp", c.address, h, o) })
					c.check(t, err)
				}
				w.endStepped()
			})
		})
	}
}

// TestDialWithContext ends the context of a Dial before it, and in the middle.
func TestDialWithContext(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		w.nobody()
		ctx, cancel := w.k.Clock().WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var err error
		w.beside("Dial", func() { _, err = w.e.Dial(ctx, "tcp", "192.0.2.2:1", &hooks{}, nil) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = w.e.Dial(ctx, "tcp", "192.0.2.2:1", &hooks{}, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = w.e.Dial(nil, "tcp", "192.0.2.2:1", &hooks{}, nil) //nolint:staticcheck // that is what is tried
		require.Error(t, err)
		h := &hooks{}
		var s *session.Stream
		l, err := w.k.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		w.beside("Dial", func() {
			s, err = w.e.Dial(t.Context(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 999}})
		})
		require.NoError(t, err)
		require.Equal(t, "127.0.0.9:999", s.LocalAddr().String())
		require.Equal(t, l.Addr().String(), s.RemoteAddr().String())
		same, err := w.e.Connect("tcp", l.Addr().String(), h, &session.DialOptions{SameLoop: s})
		require.NoError(t, err)
		require.Equal(t, s.Loop(), same.Loop())
		gone, err := w.e.Connect("tcp", "192.0.2.2:1", &hooks{}, nil)
		require.NoError(t, err)
		require.Nil(t, gone.RemoteAddr())
		_, err = gone.Detach()
		require.ErrorIs(t, err, syscall.ENOTCONN)
		require.NoError(t, gone.Close())
		w.endStepped()
	})
}

// TestDialArguments has arguments refused that no dial could honour.
func TestDialArguments(t *testing.T) {
	w, other := newWorld(t, false, simulated.Config{}), newWorld(t, false, simulated.Config{})
	h := &hooks{}
	foreign := &hooks{}
	other.peer(foreign, nil)
	other.until("OnOpen", foreign.isOpen)
	var nobody *net.TCPAddr
	for _, c := range []struct {
		network, address string
		o                session.DialOptions
	}{
		{"udp", "127.0.0.1:1", session.DialOptions{}},
		{"tcp", "127.0.0.1", session.DialOptions{}},
		{"tcp", "127.0.0.1:nothing", session.DialOptions{}},
		{"tcp4", "[::1]:1", session.DialOptions{}},
		{"unix", "", session.DialOptions{}},
		{"unix", "a", session.DialOptions{LocalAddr: nobody}},
		{"unix", "a", session.DialOptions{LocalAddr: &net.UnixAddr{Name: "b", Net: "unixgram"}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{LocalAddr: &net.UnixAddr{Name: "b"}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{LocalAddr: &net.UDPAddr{}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{SameLoop: foreign.s}},
		{"tcp", "127.0.0.1:1", session.DialOptions{StreamOptions: session.StreamOptions{HighWater: -1}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{StreamOptions: session.StreamOptions{LowWater: 1 << 20}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{StreamOptions: session.StreamOptions{TurnBudget: -1}}},
		{"tcp", "127.0.0.1:1", session.DialOptions{StreamOptions: session.StreamOptions{IdleTimeout: -1}}},
	} {
		_, err := w.e.Connect(c.network, c.address, h, &c.o)
		var op *net.OpError
		require.ErrorAs(t, err, &op, "%v", c)
	}
	for _, local := range []net.Addr{nobody, &net.TCPAddr{}, &net.TCPAddr{Port: 77}} {
		_, err := w.e.Connect("tcp", ":1", &hooks{}, &session.DialOptions{LocalAddr: local})
		require.NoError(t, err)
	}
	_, err := w.e.Connect("unix", "nobody", &hooks{}, &session.DialOptions{LocalAddr: &net.UnixAddr{}})
	require.NoError(t, err)
	w.end()
	other.end()
}

// TestDialUnix has a Unix socket dialled, from an address of its own.
func TestDialUnix(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		server, h := &echo{}, &hooks{}
		_, err := w.e.Listen("unix", "server", server, nil)
		require.NoError(t, err)
		_, err = w.e.Connect("unix", "server", h, &session.DialOptions{LocalAddr: &net.UnixAddr{Name: "client", Net: "unix"}})
		require.NoError(t, err)
		w.until("both", func() bool { return h.opened && server.opened == 1 })
		require.Equal(t, "client", h.s.LocalAddr().String())
		require.Equal(t, "server", h.s.RemoteAddr().String())
		w.end()
	})
}
