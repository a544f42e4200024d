package simulated_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// options are one of each kind, as text, and with their values.
var options = []struct {
	o     backend.SocketOption
	text  string
	value any
}{
	{backend.SocketOption{}, "none", nil},
	{backend.NoDelay(true), "nodelay=on", true},
	{backend.NoDelay(false), "nodelay=off", false},
	{backend.Priority(3), "priority=3", int64(3)},
	{backend.Linger(-5), "linger=off", -time.Second},
	{backend.UserTimeout(30 * time.Second), "user-timeout=30s", 30 * time.Second},
	{backend.Congestion("cubic"), "congestion=cubic", "cubic"},
	{backend.KeepAlive(time.Second, 0, 0), "keepalive=1s,15s,9", net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: 15 * time.Second, Count: 9}},
	{backend.KeepAlive(0, 2*time.Second, 3), "keepalive=15s,2s,3", net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 2 * time.Second, Count: 3}},
	{backend.KeepAliveOff(), "keepalive=off", net.KeepAliveConfig{}},
	{backend.QuickAck(true), "quickack=on", true},
	{backend.Timestamp(true), "timestamp=on", true},
	{backend.ReuseAddress(true), "reuseaddr=on", true},
	{backend.ReusePortGroup(true), "reuseport=on", true},
	{backend.FastOpenConnect(true), "fastopen-connect=on", true},
	{backend.V6Only(true), "v6only=on", true},
	{backend.TypeOfService(0x28), "tos=40", int64(0x28)},
	{backend.FastOpen(16), "fastopen=16", int64(16)},
	{backend.ReceiveBuffer(1 << 16), "rcvbuf=65536", int64(1 << 16)},
	{backend.ReceiveBufferForce(1 << 16), "rcvbufforce=65536", int64(1 << 16)},
	{backend.ReceiveLowWater(2), "rcvlowat=2", int64(2)},
	{backend.SendBuffer(1 << 16), "sndbuf=65536", int64(1 << 16)},
	{backend.SendBufferForce(1 << 16), "sndbufforce=65536", int64(1 << 16)},
	{backend.NotSentLowWater(1 << 14), "notsent-lowat=16384", int64(1 << 14)},
	{backend.DeferAccept(time.Second), "defer-accept=1s", time.Second},
	{backend.BusyPoll(time.Millisecond), "busy-poll=1ms", time.Millisecond},
	{backend.BindToDevice("lo"), "bindtodevice=lo", "lo"},
}

func TestSocketOptions(t *testing.T) {
	cure := &backend.SocketOptionError{Option: backend.Mark(1), Err: syscall.EPERM, Cure: "more privileges"}
	require.Equal(t, "socket option mark=1: operation not permitted; more privileges", cure.Error())
	for _, c := range options {
		require.Equal(t, c.value, c.o.Value())
		require.Equal(t, c.text, c.o.String())
	}
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, _ := detachPair(t, completions, simulated.Config{})
		for _, c := range options[1:] {
			require.NoError(t, h.s.SetSocketOption(c.o))
			got, err := h.s.SocketOption(c.o)
			require.NoError(t, err)
			require.Equal(t, c.o, got)
		}
		w.k.Forbid(backend.NoDelay(true), syscall.EPERM)
		err := h.s.SetSocketOption(backend.NoDelay(true))
		require.ErrorIs(t, err, syscall.EPERM)
		require.ErrorContains(t, err, "socket option nodelay=on: setsockopt: ")
		w.k.Forbid(backend.NoDelay(true), nil)
		_, err = h.s.SocketOption(backend.Mark(1)) // this kernel knows only what it was told
		require.ErrorIs(t, err, syscall.ENOPROTOOPT)
		dial, err := w.e.Connect("tcp", "192.0.2.1:1", &hooks{}, nil)
		require.NoError(t, err)
		require.ErrorIs(t, dial.SetSocketOption(backend.NoDelay(true)), syscall.ENOTCONN)
		c, err := h.s.SyscallConn()
		require.NoError(t, err)
		require.ErrorIs(t, c.Read(nil), errors.ErrUnsupported)
		require.ErrorIs(t, c.Write(nil), errors.ErrUnsupported)
		closed := false
		require.NoError(t, c.Control(func(uintptr) { // keeps the descriptor open
			require.NoError(t, h.s.Abort())
			w.steps("OnClose", h.over)
			closed = w.k.OpenDescriptors() == 1
		}))
		require.False(t, closed)
		require.ErrorIs(t, c.Control(func(uintptr) {}), net.ErrClosed)
		require.ErrorIs(t, h.s.SetSocketOption(backend.NoDelay(true)), net.ErrClosed)
		w.endStepped()
	})
}

// TestBalance has connections of three addresses spread over three loops by each policy.
func TestBalance(t *testing.T) {
	names := []string{"round-robin", "least-streams", "source-hash", "reuse-port", "unknown"}
	for b, name := range names {
		balance := session.Balance(b)
		require.Equal(t, name, balance.String())
		bubbles(t, func(t *testing.T, completions bool) {
			w, _ := looped(t, completions, simulated.Config{}, 3, func(c *session.Config) { c.Balance = balance })
			h := &lockedEcho{}
			l, err := w.e.Listen("tcp", "localhost:0", h, nil)
			require.NoError(t, err)
			for range 12 {
				_, err := w.k.Dial("tcp", l.Addr().String())
				require.NoError(t, err)
			}
			w.steps("all", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.opened == 12 })
			var most, sum int
			for _, one := range w.e.Stats().Loops {
				most, sum = max(most, one.Streams), sum+one.Streams
			}
			require.Equal(t, 12, sum)
			switch balance {
			case session.SourceHash: // all come from one address
				require.Equal(t, 12, most)
			case session.ReusePort:
				require.Less(t, most, 12)
			default:
				require.Equal(t, 4, most)
			}
			w.endStepped()
		})
	}
}

// elsewhere is a socket that comes from elsewhere.
type elsewhere struct{ c syscall.RawConn }

func (e elsewhere) SyscallConn() (syscall.RawConn, error) { return e.c, nil }

func TestListenOnASocketFromElsewhere(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		var from elsewhere
		o := &session.ListenOptions{Backlog: 5, Control: func(_, _ string, c syscall.RawConn) error { from.c = c; return nil }}
		first, err := w.e.Listen("tcp", "localhost:0", &echo{}, o)
		require.NoError(t, err)
		h := &echo{}
		l, err := w.e.Listen("tcp", "", h, &session.ListenOptions{From: from})
		require.NoError(t, err)
		require.Equal(t, first.Addr(), l.Addr())
		require.NoError(t, first.Close())
		require.ErrorIs(t, first.Err(), net.ErrClosed)
		_, err = w.k.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		w.until("a stream of the other", func() bool { return h.opened == 1 })
		c, _, err := w.k.NewConn("tcp")
		require.NoError(t, err)
		_, err = w.e.Listen("tcp", "", h, &session.ListenOptions{From: c})
		require.ErrorIs(t, err, syscall.EINVAL)
		require.NoError(t, c.Close())
		for _, o := range []session.ListenOptions{
			{Backlog: -1}, {Backlog: 1 << 20}, {StreamOptions: session.StreamOptions{HighWater: -1}},
			{Control: func(string, string, syscall.RawConn) error { return errOnPurpose }}, {From: c},
		} {
			_, err = w.e.Listen("tcp", "localhost:0", h, &o)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
		}
		_, err = w.e.Listen("udp", "localhost:0", h, nil)
		require.Error(t, err)
		w.end()
	})
}

// TestStatsAddUp compares the figures with what was done.
func TestStatsAddUp(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{Seed: 3, Faults: simulated.Rough()})
		h := &echo{}
		p := w.peer(h, nil)
		p.Send(make([]byte, 50_000))
		p.Finish()
		w.until("the end", func() bool { return h.closed == 1 && p.EOF() })
		s := w.e.Stats()
		require.EqualValues(t, 50_000, s.BytesIn)
		require.Equal(t, s.BytesIn, s.BytesDelivered+s.BytesDropped)
		require.EqualValues(t, 50_000, s.BytesOut)
		require.EqualValues(t, 1, s.Opened)
		require.EqualValues(t, 1, s.Closed)
		require.EqualValues(t, 1, s.Accepts)
		require.Zero(t, s.Streams)
		require.Len(t, s.Loops, 1)
		require.Equal(t, s.LoopStats, s.Loops[0])
		w.end()
	})
}

// TestPanicsPropagate has the panic of a callback reach whoever polls.
func TestPanicsPropagate(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.Propagate = true })
		h := &hooks{data: func(*session.Stream) { panic(errOnPurpose) }}
		p := w.peer(h, nil)
		w.until("OnOpen", h.isOpen)
		p.Send([]byte("x"))
		require.PanicsWithValue(t, errOnPurpose, func() { w.until("a panic", h.over) })
	})
}

// TestCloseAnswersWhatHasNoRoom closes a stream whose peer has sent more than there is room for. What comes then is
// answered with a reset.
func TestCloseAnswersWhatHasNoRoom(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		h := &hooks{open: func(s *session.Stream) { s.PauseRead() }}
		p := w.peer(h, nil)
		p.Send(make([]byte, 10_000))
		w.until("OnOpen", h.isOpen)
		w.k.Advance(time.Second)
		require.NotZero(t, p.Unsent())
		require.NoError(t, h.s.Close())
		w.until("the end", h.over)
		w.k.Advance(time.Second)
		require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
		w.end()
	})
}
