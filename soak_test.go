package tandem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestSoak mixes everything at random: connects, resets, half closes, slow readers, timers, idle timeouts and
// shutdowns in the middle of it, for a second or two on each backend, or for TANDEM_SOAK (such as 10m) altogether. All
// bytes are checked, and after each shutdown that nothing is left.
func TestSoak(t *testing.T) {
	total := 3 * time.Second
	if v := os.Getenv("TANDEM_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		require.NoError(t, err, "TANDEM_SOAK")
		total = d
	}
	setups := []tandem.Options{
		{Backend: tandem.Epoll},
		{Backend: tandem.Uring},
		{Backend: tandem.Uring, Uring: tandem.UringOptions{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}},
	}
	for _, o := range setups {
		name := o.Backend.String()
		if o.Uring.Entries != 0 {
			name += "-tiny"
		}
		t.Run(name, func(t *testing.T) { soak(t, o, total/time.Duration(len(setups))) })
	}
}

// soaker is one Transport's life, and clients that trouble it.
type soaker struct {
	t        *testing.T
	server   tandem.Transport
	addrs    map[string]string // by what the listener does
	stopping atomic.Bool
}

func soak(t *testing.T, o tandem.Options, d time.Duration) {
	o.Logger, o.Loops = slog.New(slog.DiscardHandler), 2
	probe, err := tandem.Open(&o)
	if err != nil && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	require.NoError(t, probe.Close())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	runtime.GC()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	lives, totals := 0, tandem.Stats{}
	for end := time.Now().Add(d); lives == 0 || time.Now().Before(end); lives++ {
		left := max(time.Until(end), 300*time.Millisecond)
		s := oneLife(t, o, r, min(left, time.Duration(300+r.IntN(3000))*time.Millisecond))
		totals.Opened += s.Opened
		totals.BytesIn += s.BytesIn
		totals.Timers += s.Timers
		totals.NoBuffers += s.NoBuffers
		totals.Overflows += s.Overflows
		gone := eventually(func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= files })
		require.True(t, gone, "left behind: %d goroutines, was %d; %d descriptors, was %d",
			runtime.NumGoroutine(), goroutines, openFiles(), files)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d lives of a Transport, %d streams, %d MB in, %d timers, %d ENOBUFS, %d overflows; heap now %d KB",
		lives, totals.Opened, totals.BytesIn>>20, totals.Timers, totals.NoBuffers, totals.Overflows, m.HeapAlloc>>10)
}

func eventually(done func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// oneLife opens, troubles, and shuts down in the middle of it.
func oneLife(t *testing.T, o tandem.Options, r *rand.Rand, d time.Duration) tandem.Stats {
	server, err := tandem.Open(&o)
	require.NoError(t, err)
	s := &soaker{t: t, server: server, addrs: map[string]string{}}
	s.listen("echo", echoHandler{}, tandem.StreamOptions{})
	s.listen("bounded", echoHandler{}, tandem.StreamOptions{HighWater: 4 << 10, LowWater: 1 << 10, ReadBufferLimit: 8 << 10})
	s.listen("idle", echoHandler{}, tandem.StreamOptions{IdleTimeout: 20 * time.Millisecond})
	s.listen("timed", timedHandler{}, tandem.StreamOptions{})
	var clients sync.WaitGroup
	for range 24 {
		seed := r.Uint64()
		clients.Add(1)
		go func() {
			defer clients.Done()
			s.trouble(rand.New(rand.NewPCG(seed, 2)))
		}()
	}
	time.Sleep(d)
	s.stopping.Store(true)
	patience := time.Duration(r.IntN(100)) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		assert.ErrorIs(t, err, context.DeadlineExceeded, "shutdown")
	}
	clients.Wait()
	st := server.Stats()
	assert.Equal(t, st.Opened, st.Closed, "streams that opened and closed: %+v", st)
	assert.Zero(t, st.Streams+st.Sockets+st.Requests+st.BuffersTaken, "what is left after the shutdown: %+v", st)
	assert.Equal(t, st.BytesIn, st.BytesDelivered+st.BytesDropped, "bytes: %+v", st)
	return st
}

func (s *soaker) listen(name string, h tandem.Handler, o tandem.StreamOptions) {
	l, err := s.server.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{StreamOptions: o})
	require.NoError(s.t, err)
	s.addrs[name] = l.Addr().String()
}

type echoHandler struct{ tandem.BaseHandler }

func (echoHandler) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	if _, err := s.Write(p); err == tandem.ErrWriteBufferFull {
		_ = s.Abort()
	}
}

// timedHandler answers each byte by a timer, in order, and stops some that it has started.
type timedHandler struct{ tandem.BaseHandler }

func (timedHandler) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	answer := bytes.Clone(p)
	s.After(time.Hour, func() { panic("stopped") }).Stop()
	s.PauseRead()
	s.After(time.Duration(rand.IntN(3))*time.Millisecond, func() {
		_, _ = s.Write(answer)
		s.ResumeRead()
	})
}

// trouble plays one scenario after the other.
func (s *soaker) trouble(r *rand.Rand) {
	scenarios := []func(*rand.Rand) error{
		s.echo, s.halfClose, s.reset, s.slowReader, s.connectOnly, s.idleOut, s.timed, s.dialled,
	}
	for !s.stopping.Load() {
		if err := scenarios[r.IntN(len(scenarios))](r); err != nil && !s.stopping.Load() {
			assert.NoError(s.t, err)
			return
		}
	}
}

func (s *soaker) connect(name string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", s.addrs[name])
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn), nil
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// converse writes p in pieces, reads as much back, and compares.
func converse(r *rand.Rand, c net.Conn, p []byte, pause time.Duration) error {
	go func() {
		for rest := p; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(20_000))
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	got := make([]byte, len(p))
	for n := 0; n < len(got); {
		k, err := c.Read(got[n:min(len(got), n+16<<10)])
		if n += k; err != nil {
			return fmt.Errorf("read %d of %d bytes: %w", n, len(p), err)
		}
		time.Sleep(pause)
	}
	if !bytes.Equal(got, p) {
		return errors.New("WRONG BYTES")
	}
	return nil
}

func (s *soaker) echo(r *rand.Rand) error {
	c, err := s.connect("echo")
	if err != nil {
		return err
	}
	defer c.Close()
	return converse(rand.New(rand.NewPCG(r.Uint64(), 3)), c, randomBytes(r, 1+r.IntN(100_000)), 0)
}

func (s *soaker) slowReader(r *rand.Rand) error {
	c, err := s.connect("bounded")
	if err != nil {
		return err
	}
	defer c.Close()
	return converse(rand.New(rand.NewPCG(r.Uint64(), 3)), c, randomBytes(r, 1+r.IntN(50_000)), time.Millisecond)
}

func (s *soaker) halfClose(r *rand.Rand) error {
	c, err := s.connect("echo")
	if err != nil {
		return err
	}
	defer c.Close()
	p := randomBytes(r, 1+r.IntN(30_000))
	if _, err := c.Write(p); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, p) {
		err = fmt.Errorf("WRONG BYTES after a half close: %d of %d", len(got), len(p))
	}
	return err
}

func (s *soaker) reset(r *rand.Rand) error {
	c, err := s.connect([]string{"echo", "bounded", "timed"}[r.IntN(3)])
	if err != nil {
		return err
	}
	_, _ = c.Write(randomBytes(r, r.IntN(20_000)))
	time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
	_ = c.SetLinger(0)
	return c.Close()
}

func (s *soaker) connectOnly(*rand.Rand) error {
	c, err := s.connect("echo")
	if err != nil {
		return err
	}
	return c.Close()
}

func (s *soaker) idleOut(*rand.Rand) error {
	c, err := s.connect("idle")
	if err != nil {
		return err
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("idle: read %d bytes, %v", n, err)
	}
	return nil
}

func (s *soaker) timed(r *rand.Rand) error {
	c, err := s.connect("timed")
	if err != nil {
		return err
	}
	defer c.Close()
	return converse(rand.New(rand.NewPCG(r.Uint64(), 3)), c, randomBytes(r, 1+r.IntN(500)), 0)
}

// dialled connects a stream of the same Transport to it, and aborts it in the middle or sees it through.
func (s *soaker) dialled(r *rand.Rand) error {
	want := randomBytes(r, 1+r.IntN(30_000))
	h := &dialledHandler{want: want, done: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	st, err := s.server.Dial(ctx, "tcp", s.addrs["echo"], h, nil)
	if err != nil {
		return err
	}
	if _, err := st.Write(want); err != nil && !s.stopping.Load() {
		return err
	}
	if r.IntN(3) == 0 {
		_ = st.Abort()
		if err := <-h.done; err == errWrongBytes {
			return err
		}
		return nil
	}
	return <-h.done
}

var errWrongBytes = errors.New("WRONG BYTES at a dialled stream")

type dialledHandler struct {
	tandem.BaseHandler
	want []byte
	n    int
	done chan error
}

func (h *dialledHandler) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	if h.n+len(p) > len(h.want) || !bytes.Equal(p, h.want[h.n:h.n+len(p)]) {
		h.done <- errWrongBytes
		_ = s.Abort()
		return
	}
	if h.n += len(p); h.n == len(h.want) {
		_ = s.Close()
	}
}

func (h *dialledHandler) OnClose(_ *tandem.Stream, err error) {
	select {
	case h.done <- err:
	default:
	}
}
