package tandem_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestStoppableProcess is a process that is stopped. A timer runs.
//
//	listen ADDRESS    echoes; answers "listening ADDRESS"
//	dial ADDRESS      writes a byte each pingInterval; answers "dialled"
//	idle              gives all streams an idle timeout; answers "set"
//	ticks             answers "ticks N": how often the timer has fired
//	ended             answers "ended ERRORS": how the streams have ended so far
func TestStoppableProcess(t *testing.T) {
	name := os.Getenv(serverEnv)
	if name == "" {
		t.Skip("it is for the processes that other tests start")
	}
	var b tandem.Backend
	require.NoError(t, b.UnmarshalText([]byte(name)))
	o := silent(b)
	tr, err := tandem.Open(&o)
	require.NoError(t, err)
	var ticks atomic.Int64
	s := connected(t, tr, tandem.BaseHandler{})
	require.NoError(t, s.Post(func() {
		s.Every(stopTick, func() { ticks.Add(1) })
	}))
	h := &stoppable{ended: make(chan error, 1000), streams: make(chan *tandem.Stream, 1000)}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command, address, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "listen":
			l, err := tr.Listen("tcp", address, h, nil)
			require.NoError(t, err)
			fmt.Println("listening", l.Addr())
		case "dial":
			_, err := tr.Dial(t.Context(), "tcp", address, pinging{stoppable: h}, nil)
			require.NoError(t, err)
			fmt.Println("dialled")
		case "idle":
			for range h.opened.Load() {
				(<-h.streams).SetIdleTimeout(stopIdle)
			}
			fmt.Println("set")
		case "ticks":
			fmt.Println("ticks", ticks.Load())
		case "ended":
			fmt.Println("ended", h.errors())
		}
	}
	_ = tr.Close()
}

const (
	stopIdle     = time.Second           // the idle timeout
	stopTick     = 20 * time.Millisecond // the timer
	pingInterval = 50 * time.Millisecond
	stopTime     = 1200 * time.Millisecond // how long the process is stopped
)

// stoppable echoes, and records how streams end.
type stoppable struct {
	echoHandler
	opened  atomic.Int64
	streams chan *tandem.Stream
	ended   chan error
}

func (h *stoppable) OnOpen(s *tandem.Stream) {
	h.streams <- s
	h.opened.Add(1)
}

func (h *stoppable) OnClose(_ *tandem.Stream, err error) { h.ended <- err }

// errors says how streams have ended.
func (h *stoppable) errors() string {
	all := []string{}
	for len(h.ended) > 0 {
		switch err := <-h.ended; {
		case errors.Is(err, os.ErrDeadlineExceeded):
			all = append(all, "idle")
		case err == nil:
			all = append(all, "closed")
		default:
			all = append(all, strings.ReplaceAll(err.Error(), " ", "-"))
		}
	}
	return strings.Join(all, " ")
}

// pinging writes a byte now and then.
type pinging struct {
	tandem.BaseHandler
	*stoppable
}

func (p pinging) OnOpen(s *tandem.Stream) {
	p.stoppable.OnOpen(s)
	s.Every(pingInterval, func() { _, _ = s.Write([]byte("x")) })
}

func (p pinging) OnData(s *tandem.Stream)             { _, _ = s.Discard(s.Buffered()) }
func (p pinging) OnEOF(*tandem.Stream)                {}
func (p pinging) OnWritable(*tandem.Stream)           {}
func (p pinging) OnClose(s *tandem.Stream, err error) { p.stoppable.OnClose(s, err) }

// stop stops a process for longer than the idle timeout of its streams, and calls during in the middle.
func (s *server) stop(during func()) {
	s.Helper()
	s.tell("idle")
	word, _ := s.answer()
	require.Equal(s, "set", word)
	require.NoError(s, s.cmd.Process.Signal(syscall.SIGSTOP))
	stopped(s.T, s.cmd.Process.Pid)
	began := time.Now()
	during()
	time.Sleep(stopTime - time.Since(began))
	require.NoError(s, s.cmd.Process.Signal(syscall.SIGCONT))
}

// ticking waits until the timer of the process fires on.
func (s *server) ticking() {
	s.Helper()
	count := func() (n int) {
		s.tell("ticks")
		word, rest := s.answer()
		require.Equal(s, "ticks", word)
		_, err := fmt.Sscan(rest, &n)
		require.NoError(s, err)
		return n
	}
	first := count()
	becomes(s.T, func() bool { return count() >= first+3 }, "three more ticks")
}

// TestFaultServerStopped stops a server for longer than its idle timeout. Streams for which bytes have come meanwhile,
// more than a loop sees at one look, are not idle: they are answered. The others are idle, and end.
func TestFaultServerStopped(t *testing.T) {
	t.Parallel()
	const many, few = 640, 8
	faults(t, process{}, func(t *testing.T, b tandem.Backend) {
		p := startProcess(t, "TestStoppableProcess", b)
		p.tell("listen 127.0.0.1:0")
		_, address := p.answer()
		var busy, idle []net.Conn
		for i := range many + few {
			c, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			assert.NoError(t, echoed(c, "before"))
			if i < many {
				busy = append(busy, c)
			} else {
				idle = append(idle, c)
			}
		}
		p.stop(func() {
			for _, c := range slices.Backward(busy) { // so that the first to be looked at are the last whose bytes are seen
				_, err := io.WriteString(c, "during")
				require.NoError(t, err)
			}
		})
		answer := make([]byte, 6)
		for i, c := range busy {
			_, err := io.ReadFull(c, answer)
			require.NoError(t, err, "stream %d, for which bytes waited", i)
			require.Equal(t, "during", string(answer))
		}
		p.ticking()
		for i, c := range idle {
			_, err := c.Read(answer)
			assert.False(t, err == nil || errors.Is(err, os.ErrDeadlineExceeded), "idle stream %d does not end: %v", i, err)
		}
		how := ""
		becomes(t, func() bool { // OnClose follows the end of the connection
			p.tell("ended")
			_, some := p.answer()
			how += some + " "
			return strings.Count(how, "idle") >= few
		}, "%d streams ended as idle", few)
		assert.Empty(t, strings.Trim(how, "idle "), "other ends of streams")
	})
}

// echoed writes a text of six bytes, and reads it back.
func echoed(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("WRONG BYTES: %q", got)
	}
	return nil
}

// TestFaultClientStopped stops a client for longer than its idle timeout, while an answer waits for it.
func TestFaultClientStopped(t *testing.T) {
	t.Parallel()
	faults(t, process{}, func(t *testing.T, b tandem.Backend) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		p := startProcess(t, "TestStoppableProcess", b)
		p.tell("dial %s", l.Addr())
		word, rest := p.answer()
		require.Equal(t, "dialled", word, rest)
		c, err := l.Accept()
		require.NoError(t, err)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.ReadFull(c, make([]byte, 3))
		require.NoError(t, err, "pings before")
		p.stop(func() {
			_, err := io.WriteString(c, "answer")
			require.NoError(t, err)
		})
		_, err = io.ReadFull(c, make([]byte, 10))
		assert.NoError(t, err, "pings behind")
		p.ticking()
		p.tell("ended")
		_, how := p.answer()
		assert.Empty(t, how, "how streams have ended")
	})
}
