package tandem_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// openedHandler reports the loop of each stream that opens.
type openedHandler struct {
	tandem.BaseHandler
	opened chan *tandem.Stream
}

func (h openedHandler) OnOpen(s *tandem.Stream) { h.opened <- s }

func balanced(t *testing.T, b tandem.Backend, policy tandem.Balance) (tandem.Transport, tandem.Listener, openedHandler) {
	t.Helper()
	tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 4, Balance: policy, Logger: slog.New(slog.DiscardHandler)})
	h := openedHandler{opened: make(chan *tandem.Stream, 1000)}
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(t, err)
	return tr, l, h
}

// openOrSkip opens a Transport that is closed with the test. Where io_uring cannot run it skips, loudly, unless
// TANDEM_REQUIRE_URING is set.
func openOrSkip(t *testing.T, o *tandem.Options) tandem.Transport {
	t.Helper()
	tr, err := tandem.Open(o)
	if err != nil && o.Backend == tandem.Uring && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func connectFrom(t *testing.T, local string, l tandem.Listener) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	c, err := d.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestBalance(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String()+"/round-robin", func(t *testing.T) {
			_, l, h := balanced(t, b, tandem.RoundRobin)
			var count [4]int
			for range 40 {
				connectFrom(t, "127.0.0.1", l)
				count[(<-h.opened).Loop()]++
			}
			assert.Equal(t, [4]int{10, 10, 10, 10}, count, "how 40 connections were spread")
		})
		t.Run(b.String()+"/least-streams", func(t *testing.T) {
			_, l, h := balanced(t, b, tandem.LeastStreams)
			testLeastStreams(t, l, h)
		})
		t.Run(b.String()+"/source-hash", func(t *testing.T) {
			_, l, h := balanced(t, b, tandem.SourceHash)
			used := map[int]bool{}
			for i := 1; i <= 64; i++ {
				ip := fmt.Sprintf("127.0.1.%d", i)
				connectFrom(t, ip, l)
				first := (<-h.opened).Loop()
				connectFrom(t, ip, l)
				assert.Equal(t, first, (<-h.opened).Loop(), "the loops of two connections from %s", ip)
				used[first] = true
			}
			// With 64 addresses on 4 loops, one is missed in 4 of 10^8 runs.
			assert.Len(t, used, 4, "loops that 64 addresses are on")
		})
		t.Run(b.String()+"/reuse-port", func(t *testing.T) {
			_, l, h := balanced(t, b, tandem.ReusePort)
			used := map[int]bool{}
			for range 200 {
				connectFrom(t, "127.0.0.1", l)
				used[(<-h.opened).Loop()] = true
			}
			assert.Len(t, used, 4, "loops that 200 connections are on")
		})
	}
}

// testLeastStreams empties one loop and looks where the next connections go.
func testLeastStreams(t *testing.T, l tandem.Listener, h openedHandler) {
	var onTwo []*tandem.Stream
	for range 16 {
		connectFrom(t, "127.0.0.1", l)
		if s := <-h.opened; s.Loop() == 2 {
			onTwo = append(onTwo, s)
		}
	}
	require.Len(t, onTwo, 4, "of 16 streams those on loop 2")
	for _, s := range onTwo {
		_ = s.Close()
	}
	require.True(t, eventually(func() bool { return l.Stats().Streams == 12 }), "the streams did not close")
	for i := range 4 {
		connectFrom(t, "127.0.0.1", l)
		assert.Equal(t, 2, (<-h.opened).Loop(), "the loop of connection %d, where the empty one is 2", i)
	}
}

// TestAffinity asks the kernel on which CPUs the thread of a callback may run.
func TestAffinity(t *testing.T) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		var set unix.CPUSet
		require.NoError(t, unix.SchedGetaffinity(0, &set))
		var cpus []int
		for cpu := 0; len(cpus) < 2 && cpu < 1024; cpu++ {
			if set.IsSet(cpu) {
				cpus = append(cpus, cpu)
			}
		}
		if len(cpus) < 2 {
			t.Skip("NOT TESTED: only one CPU")
		}
		cpus[0], cpus[1] = cpus[1], cpus[0]
		tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 2, Affinity: cpus, Logger: slog.New(slog.DiscardHandler)})
		h := openedHandler{opened: make(chan *tandem.Stream, 10)}
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		for range 4 {
			connectFrom(t, "127.0.0.1", l)
			s := <-h.opened
			allowed := make(chan string)
			_ = s.Post(func() { allowed <- allowedCPUs() })
			assert.Equal(t, fmt.Sprint(cpus[s.Loop()]), <-allowed, "the CPUs that loop %d may run on", s.Loop())
		}
	})
}

func allowedCPUs() string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()))
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list)
		}
	}
	return "no such line"
}

func eventually(done func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
