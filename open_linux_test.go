package tandem_test

import (
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// The rules on Open: what Info says, who chooses the backend, which options are refused, and that all others reach the
// part of the Transport that they are for. What a Transport then does is TestConformance's.

// backends runs a test on each backend.
func backends(t *testing.T, test func(*testing.T, tandem.Backend)) {
	production(t, test)
	t.Run(tandem.Portable.String(), func(t *testing.T) { test(t, tandem.Portable) })
}

// production runs a test on each backend that a service runs on. Portable is for development.
func production(t *testing.T, test func(*testing.T, tandem.Backend)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) { test(t, b) })
	}
}

// silent are the Options of a Transport that logs nothing.
func silent(b tandem.Backend) tandem.Options {
	return tandem.Options{Backend: b, Loops: 2, Logger: slog.New(slog.DiscardHandler)}
}

// TestS31_Info reads what Open says of the backend that it was asked for.
func TestS31_Info(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		o := silent(b)
		tr := openOrSkip(t, &o)
		i := tr.Info()
		assert.Equal(t, b, i.Backend)
		assert.Equal(t, 2, i.Loops)
		assert.NotEmpty(t, i.Kernel)
		require.NotEmpty(t, i.Features)
		assert.Contains(t, i.Reason, "Options.Backend")
		for _, part := range []string{b.String(), i.Kernel, i.Features[0], i.Reason} {
			assert.Contains(t, i.String(), part)
		}
		require.NoError(t, tr.Close())
		assert.Equal(t, i, tr.Info(), "after the end")
	})
	for _, rung := range []string{"defer", "coop", "plain", "oneshot"} {
		t.Run("rung "+rung, func(t *testing.T) {
			o := silent(tandem.Uring)
			o.Uring.Rung = rung
			assert.Contains(t, openOrSkip(t, &o).Info().Features, "rung "+rung)
		})
	}
}

// TestS31_Environment sets TANDEM_BACKEND, which decides where a program asked for Auto, and only there.
func TestS31_Environment(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		named, auto := silent(b), silent(tandem.Auto)
		openOrSkip(t, &named) // it runs here

		t.Run("the backend", func(t *testing.T) {
			t.Setenv("TANDEM_BACKEND", b.String())
			i := openOrSkip(t, &auto).Info()
			assert.Equal(t, b, i.Backend)
			assert.Contains(t, i.Reason, "TANDEM_BACKEND")
		})
		t.Run("the other one", func(t *testing.T) {
			other := tandem.Epoll
			if b == tandem.Epoll {
				other = tandem.Uring
			}
			t.Setenv("TANDEM_BACKEND", other.String())
			assert.Equal(t, b, openOrSkip(t, &named).Info().Backend, "Options.Backend comes first")
		})
		t.Run("auto", func(t *testing.T) {
			t.Setenv("TANDEM_BACKEND", "auto")
			reason := openOrSkip(t, &auto).Info().Reason
			assert.NotContains(t, reason, "TANDEM_BACKEND")
			assert.NotEmpty(t, reason)
		})
		t.Run("an unknown one", func(t *testing.T) {
			t.Setenv("TANDEM_BACKEND", "kqueue")
			_, err := tandem.Open(&auto)
			prefixed(t, err)
			require.ErrorContains(t, err, "TANDEM_BACKEND")
			assert.ErrorContains(t, err, "kqueue")
			openOrSkip(t, &named) // does not read the variable
		})
	})
}

// TestS31_Arguments asks for what cannot be. The error names the field.
func TestS31_Arguments(t *testing.T) {
	cases := map[string]func(*tandem.Options){
		"Options.Backend":                 func(o *tandem.Options) { o.Backend = 7 },
		"Options.Loops":                   func(o *tandem.Options) { o.Loops = -1 },
		"Options.Spin":                    func(o *tandem.Options) { o.Spin = -1 },
		"Options.Balance":                 func(o *tandem.Options) { o.Balance = 9 },
		"Options.Affinity":                func(o *tandem.Options) { o.Affinity = []int{0, 0, 0} },
		"Options.ExpectedStreams":         func(o *tandem.Options) { o.ExpectedStreams = -1 },
		"Options.MemoryLimit":             func(o *tandem.Options) { o.MemoryLimit = -1 },
		"Options.Uring.Entries":           func(o *tandem.Options) { o.Uring.Entries = -1 },
		"Options.Uring.CompletionEntries": func(o *tandem.Options) { o.Uring.Entries, o.Uring.CompletionEntries = 1024, 512 },
		"Options.Uring.Buffers":           func(o *tandem.Options) { o.Uring.Buffers = 1 << 20 },
		"Options.Uring.BufferSize":        func(o *tandem.Options) { o.Uring.BufferSize = 1 << 30 },
		"Options.Uring.Rung":              func(o *tandem.Options) { o.Uring.Rung = "top" },
		"Options.ReadBufferLimit":         func(o *tandem.Options) { o.ReadBufferLimit = -1 },
		"Options.WriteBufferLimit":        func(o *tandem.Options) { o.WriteBufferLimit = -1 },
		"Options.HighWater":               func(o *tandem.Options) { o.WriteBufferLimit, o.HighWater = 1000, 1001 },
		"Options.LowWater":                func(o *tandem.Options) { o.HighWater, o.LowWater = 1000, 1001 },
		"Options.IdleTimeout":             func(o *tandem.Options) { o.IdleTimeout = -1 },
		"Options.TurnBudget":              func(o *tandem.Options) { o.TurnBudget = -1 },
		"1 with CallerDriven":             func(o *tandem.Options) { o.CallerDriven, o.Loops = true, 2 },
	}
	backends(t, func(t *testing.T, b tandem.Backend) {
		for field, change := range cases {
			t.Run(field, func(t *testing.T) {
				o := silent(b)
				change(&o)
				_, err := tandem.Open(&o)
				prefixed(t, err)
				assert.ErrorContains(t, err, field)
			})
		}
	})
}

// TestS31_FailedStart opens a Transport whose loops cannot start: the second one's CPU is not there.
func TestS31_FailedStart(t *testing.T) {
	if runtime.NumCPU() > 1023 {
		t.Skip("CPU 1023 is there")
	}
	backends(t, func(t *testing.T, b tandem.Backend) {
		o := silent(b)
		openOrSkip(t, &o) // it runs here
		before := len(descriptors(t))
		o.Affinity = []int{0, 1023}
		_, err := tandem.Open(&o)
		prefixed(t, err)
		require.ErrorContains(t, err, "tandem: open: ")
		assert.ErrorContains(t, err, "CPU 1023")
		assert.LessOrEqual(t, len(descriptors(t)), before, "descriptors")
	})
}

// TestOptionsReachTheTransport sets each option that is not about io_uring, and looks for its effect.
func TestOptionsReachTheTransport(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		open := func(t *testing.T, change func(*tandem.Options)) tandem.Transport {
			t.Helper()
			o := silent(b)
			change(&o)
			return openOrSkip(t, &o)
		}
		t.Run("Loops", func(t *testing.T) {
			tr := open(t, func(o *tandem.Options) { o.Loops = 3 })
			assert.Len(t, tr.Stats().Loops, 3)
		})
		t.Run("Spin", func(t *testing.T) {
			tr := open(t, func(o *tandem.Options) { o.Loops, o.Spin = 1, time.Hour })
			s := connected(t, tr, tandem.BaseHandler{})
			sleeps := func() uint64 {
				ran := make(chan struct{})
				require.NoError(t, s.Post(func() { close(ran) }))
				<-ran
				return tr.Stats().Sleeps
			}
			first := sleeps()
			for range 5 {
				time.Sleep(time.Millisecond) // a loop that does not spin sleeps now
				assert.Equal(t, first, sleeps(), "sleeps of a loop that spins")
			}
		})
		t.Run("CallerDriven and Propagate", func(t *testing.T) {
			tr := open(t, func(o *tandem.Options) { o.Loops, o.CallerDriven, o.Propagate = 0, true, true })
			s := connected(t, tr, tandem.BaseHandler{})
			require.NoError(t, s.Post(func() { panic("on purpose") }))
			assert.PanicsWithValue(t, "on purpose", func() {
				for range 100 {
					_, _ = tr.Poll(10 * time.Millisecond)
				}
			})
		})
		t.Run("Logger", func(t *testing.T) {
			log := &sessiontest.Log{}
			tr := open(t, func(o *tandem.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
			assert.Contains(t, log.String(), "backend="+b.String())
			require.NoError(t, connected(t, tr, tandem.BaseHandler{}).Post(func() { panic("on purpose") }))
			assert.Eventually(t, func() bool { return strings.Contains(log.String(), "on purpose") }, 10*time.Second, time.Millisecond)
		})
		t.Run("StreamOptions", func(t *testing.T) {
			tr := open(t, func(o *tandem.Options) { o.StreamOptions = tandem.StreamOptions{HighWater: 12345, LowWater: 1234} })
			got := connected(t, tr, tandem.BaseHandler{}).Options()
			assert.Equal(t, []int{12345, 1234}, []int{got.HighWater, got.LowWater})
		})
	})
}

// TestMemoryLimitReachesTheTransport writes more to a stream that reads nothing than all streams may hold together.
func TestMemoryLimitReachesTheTransport(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		const limit = 1 << 20
		o := silent(b)
		o.MemoryLimit, o.ReadBufferLimit = limit, 64<<20
		tr := openOrSkip(t, &o)
		ours, peer := tcpPair(t)
		_, err := tr.Adopt(ours, leaving{})
		require.NoError(t, err)
		require.NoError(t, peer.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := peer.Write(make([]byte, 32<<20))
		assert.ErrorContains(t, err, "timeout", "nothing stopped after %d bytes", n)
		assert.LessOrEqual(t, tr.Stats().BytesIn, uint64(limit), "bytes unread")
	})
}

// leaving leaves all bytes unread.
type leaving struct{ tandem.BaseHandler }

// connected makes a stream of tr, which has not opened yet if tr is driven by its caller.
func connected(t *testing.T, tr tandem.Transport, h tandem.Handler) *tandem.Stream {
	t.Helper()
	a, _ := tcpPair(t)
	s, err := tr.Adopt(a, h)
	require.NoError(t, err)
	return s
}

// tcpPair returns both ends of a connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	for _, c := range []io.Closer{dialled, accepted} {
		t.Cleanup(func() { _ = c.Close() })
	}
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}
