package tandem_test

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// TestFaultPeerKilled kills the process of a peer. What its kernel makes of that is the end of the stream: FIN if the
// peer had read everything, else RST.
func TestFaultPeerKilled(t *testing.T) {
	t.Parallel()
	for _, peer := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run("by "+peer.String(), func(t *testing.T) {
			t.Parallel()
			faults(t, process{}, func(t *testing.T, b tandem.Backend) { testPeerKilled(t, b, peer) })
		})
	}
}

func testPeerKilled(t *testing.T, b, peer tandem.Backend) {
	o := silent(b)
	tr, err := tandem.Open(&o)
	require.NoError(t, err)
	files := openFiles() // without those of the peers' pipes
	for name, k := range map[string]struct {
		before func(*server, *tandem.Stream, *recorder)
		want   func(error, *recorder)
	}{
		"idle": {
			before: func(*server, *tandem.Stream, *recorder) {},
			want: func(err error, h *recorder) {
				assert.NoError(t, err, "OnClose behind FIN")
				assert.EqualValues(t, 1, h.ended.Load(), "calls of OnEOF")
			},
		},
		"with bytes unread": {
			before: func(p *server, s *tandem.Stream, _ *recorder) {
				require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
				stopped(t, p.cmd.Process.Pid)
				require.NoError(t, sendPattern(s, 6, 1000))
				becomes(t, func() bool { return s.Queued() == 0 }, "the kernel has all bytes")
				acknowledged(t, s)
			},
			want: func(err error, h *recorder) {
				assert.ErrorIs(t, err, syscall.ECONNRESET, "OnClose behind RST")
				assert.Zero(t, h.ended.Load(), "calls of OnEOF")
			},
		},
		"in the middle of a transfer": {
			before: func(_ *server, s *tandem.Stream, h *recorder) {
				go sendOn(s, 6)
				becomes(t, func() bool { return h.got.Load() > 1<<20 }, "the beginning of the transfer")
			},
			want: func(err error, h *recorder) {
				if err != nil || h.ended.Load() != 1 { // unless everything had been read just then
					assert.Condition(t, func() bool { return isOneOf(err, []error{syscall.ECONNRESET, syscall.EPIPE}) }, "OnClose: %v", err)
				}
				assert.False(t, h.wrong.Load(), "wrong bytes among %d", h.got.Load())
			},
		},
	} {
		p, h := startServer(t, peer), newRecorder()
		p.tell("listen tcp 127.0.0.1:0")
		word, address := p.answer()
		require.Equal(t, "listening", word, address)
		s, err := tr.Dial(t.Context(), "tcp", address, h, &tandem.DialOptions{StreamOptions: tandem.StreamOptions{ReadWhileBlocked: true}})
		require.NoError(t, err)
		require.NoError(t, sendPattern(s, 0, 6))
		becomes(t, func() bool { return h.got.Load() == 6 }, "an echo: the peer has accepted")
		k.before(p, s, h)
		require.NoError(t, p.cmd.Process.Kill())
		k.want(arrives(t, h.closed, "OnClose after the peer was killed, %s", name), h)
		p.kill()
	}
	nothingLeft(t, tr, files)
}

// sendOn writes the pattern for as long as the stream lives.
func sendOn(s *tandem.Stream, at int64) {
	for {
		p := patternAt(at, 64<<10)
		n, err := s.Write(p)
		at += int64(n)
		if err == tandem.ErrWriteBufferFull {
			time.Sleep(time.Millisecond)
		} else if err != nil {
			return
		}
	}
}

// acknowledged waits until the peer's kernel has everything that was written to a connection.
func acknowledged(t *testing.T, c syscall.Conn) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	becomes(t, func() (empty bool) {
		_ = raw.Control(func(fd uintptr) {
			n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			empty = err == nil && n == 0
		})
		return empty
	}, "all bytes acknowledged")
}

// stopped waits until all threads of a process have stopped.
func stopped(t *testing.T, pid int) {
	t.Helper()
	becomes(t, func() bool {
		for _, state := range threadStates(pid) {
			if state != "T" {
				return false
			}
		}
		return true
	}, "the process %d stopped", pid)
}

// threadStates has a letter for each thread of a process, by its number: proc_pid_stat(5).
func threadStates(pid int) map[int]string {
	states := map[int]string{}
	dir := fmt.Sprintf("/proc/%d/task", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		stat, _ := os.ReadFile(dir + "/" + e.Name() + "/stat")
		if _, after, ok := strings.Cut(string(stat), ") "); ok {
			var tid int
			_, _ = fmt.Sscan(e.Name(), &tid)
			states[tid] = after[:1]
		}
	}
	return states
}

// TestFaultLittleGarbage collects garbage all the time, while connections come and go and all bytes are checked.
func TestFaultLittleGarbage(t *testing.T) {
	t.Parallel()
	faults(t, process{env: []string{"GOGC=1"}}, func(t *testing.T, b tandem.Backend) {
		churn(t, tandem.Options{Backend: b}, 1500*time.Millisecond)
	})
}

// TestFaultSignals sends thousands of signals a second to a process and to each of its threads, while all bytes are
// checked, and then while a loop has nothing to do.
func TestFaultSignals(t *testing.T) {
	t.Parallel()
	faults(t, process{started: signals}, func(t *testing.T, b tandem.Backend) {
		came := make(chan os.Signal, 1)
		signal.Notify(came, syscall.SIGUSR1)
		arrives(t, came, "a signal")
		churn(t, tandem.Options{Backend: b}, time.Second)
		o := silent(b)
		o.Loops = 1
		tr := openOrSkip(t, &o)
		connected(t, tr, tandem.BaseHandler{})
		for len(came) > 0 {
			<-came
		}
		before, began := tr.Stats().Turns, time.Now()
		time.Sleep(during)
		arrives(t, came, "a signal")
		turns := float64(tr.Stats().Turns-before) / time.Since(began).Seconds()
		// A signal that hits the loop's thread ends its sleep, and costs a turn.
		assert.Less(t, turns, 4*signalRate, "turns a second of a loop on which nothing moves, at %v rounds of signals a second", signalRate)
		require.NoError(t, tr.Err())
	})
}

const signalRate = 5000.0 // rounds a second

// signals sends signals to a process until it ends: to itself, and to one thread after the other.
func signals(p *os.Process) {
	all := []syscall.Signal{syscall.SIGURG, syscall.SIGUSR1, syscall.SIGPROF}
	caught := uint64(0)
	for _, s := range all {
		caught |= 1 << (s - 1)
	}
	for !catches(p.Pid, caught) {
		if p.Signal(syscall.Signal(0)) != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	for i := 0; ; i++ {
		var threads []int
		for tid := range threadStates(p.Pid) {
			threads = append(threads, tid)
		}
		for j := range 100 {
			s := all[(i+j)%len(all)]
			if p.Signal(s) != nil {
				return
			}
			for k := range threads {
				_ = unix.Tgkill(p.Pid, threads[k], all[(i+j+k)%len(all)])
			}
			time.Sleep(time.Duration(float64(time.Second) / signalRate))
		}
	}
}

// catches reports whether a process has handlers for signals: proc_pid_status(5).
func catches(pid int, signals uint64) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(status), "SigCgt:")
	var mask uint64
	_, _ = fmt.Sscanf(strings.TrimSpace(after), "%x", &mask)
	return mask&signals == signals
}
