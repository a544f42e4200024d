//go:build linux

package handover_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

const (
	restarts = 20
	clients  = 50
)

// TestRestarts restarts a server process 20 times under 50 clients, which keep a connection over all of it, and make
// others all the time. None is refused, none ends, and no byte is lost.
func TestRestarts(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr, err := tandem.Open(&tandem.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
			if errors.Is(err, errors.ErrUnsupported) && os.Getenv("TANDEM_REQUIRE_URING") == "" {
				t.Skip(err)
			}
			require.NoError(t, err)
			require.NoError(t, tr.Close())
			restart(t, b)
		})
	}
}

// processes are the generations of a server.
type processes struct {
	*testing.T
	status  *bufio.Scanner
	path    string
	address string // of TCP
	pids    []int
}

func restart(t *testing.T, b tandem.Backend) {
	// The generations become this process's children when their parents end, so that their exit status can be seen.
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	p := start(t, b)
	var stop atomic.Bool
	var running sync.WaitGroup
	saw := make(chan sighting, clients*(restarts+1))
	for i := range clients {
		running.Go(func() {
			c := &client{number: i, p: p, rand: rand.New(rand.NewPCG(uint64(i), 0)), saw: saw}
			if err := c.run(&stop); err != nil {
				saw <- sighting{client: i, err: err}
			}
		})
	}
	for generation := range restarts + 1 {
		if generation > 0 {
			require.NoError(t, syscall.Kill(p.pids[generation-1], syscall.SIGHUP))
			p.ready(generation)
		}
		p.awaitAll(saw, generation)
		if t.Failed() {
			break
		}
	}
	p.nobodyElseListens(b)
	stop.Store(true)
	running.Wait()
	p.end()
}

// start starts the first generation.
func start(t *testing.T, b tandem.Backend) *processes {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	require.NoError(t, r.SetReadDeadline(time.Now().Add(3*patience)))
	p := &processes{T: t, status: bufio.NewScanner(r), path: filepath.Join(t.TempDir(), "s")}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envGeneration+"=0", envBackend+"="+b.String(), envPath+"="+p.path)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	require.NoError(t, cmd.Start())
	_ = w.Close()
	t.Cleanup(func() {
		for _, pid := range p.pids {
			if t.Failed() { // else all have ended, and were waited for
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	p.ready(0)
	return p
}

// ready waits until a generation serves.
func (p *processes) ready(generation int) {
	p.Helper()
	require.True(p, p.status.Scan(), "generation %d says nothing: %v", generation, p.status.Err())
	line := p.status.Text()
	fields := strings.Fields(line)
	require.True(p, len(fields) == 4 && fields[0] == "ready" && fields[1] == strconv.Itoa(generation), "generation %d says %q", generation, line)
	pid, err := strconv.Atoi(fields[2])
	require.NoError(p, err)
	p.pids = append(p.pids, pid)
	if generation == 0 { // before the clients begin
		p.address = fields[3]
	}
	require.Equal(p, p.address, fields[3], "the address of generation %d", generation)
}

// nobodyElseListens tries to listen where the last generation does, on a socket of the first, which has ended.
func (p *processes) nobodyElseListens(b tandem.Backend) {
	tr, err := tandem.Open(&tandem.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(p, err)
	defer tr.Close()
	_, err = tr.Listen("unix", p.path, tandem.BaseHandler{}, nil)
	assert.ErrorIs(p, err, syscall.EADDRINUSE)
}

// end ends the last generation, and looks how all have ended.
func (p *processes) end() {
	_ = syscall.Kill(p.pids[len(p.pids)-1], syscall.SIGTERM)
	for p.status.Scan() { // until the last has closed its end
		assert.Fail(p, "a server says", "%s", p.status.Text())
	}
	assert.NoError(p, p.status.Err(), "the end of all servers")
	if p.Failed() {
		return
	}
	for generation, pid := range p.pids {
		var s unix.WaitStatus
		_, err := unix.Wait4(pid, &s, 0, nil)
		require.NoError(p, err, "generation %d", generation)
		assert.True(p, s.Exited() && s.ExitStatus() == 0, "generation %d has ended with %v", generation, s)
	}
	assert.NoFileExists(p, p.path, "the file of the Unix socket")
}

// sighting is what a client reports: its connection is served by a generation, or it has failed.
type sighting struct {
	client, generation int
	err                error
}

// awaitAll waits until the kept connection of every client is served by a generation.
func (p *processes) awaitAll(saw <-chan sighting, generation int) {
	p.Helper()
	missing := map[int]bool{}
	for i := range clients {
		missing[i] = true
	}
	late := time.After(patience)
	for len(missing) > 0 {
		select {
		case s := <-saw:
			if !assert.NoError(p, s.err, "client %d, at generation %d", s.client, generation) {
				return
			}
			if !assert.Equal(p, generation, s.generation, "generation that client %d has seen", s.client) {
				return
			}
			delete(missing, s.client)
		case <-late:
			assert.Fail(p, "clients wait", "generation %d has not answered %v", generation, missing)
			return
		}
	}
}

// client exchanges lines with the servers.
type client struct {
	number int
	p      *processes
	rand   *rand.Rand
	saw    chan<- sighting
	sent   int
}

func (c *client) run(stop *atomic.Bool) error {
	kept, err := c.dial()
	if err != nil {
		return err
	}
	defer kept.Close()
	answers := bufio.NewReaderSize(kept, 1<<20)
	for last := -1; !stop.Load(); {
		generation, err := c.exchange(kept, answers)
		switch {
		case err != nil:
			return fmt.Errorf("the connection that it keeps: %w", err)
		case generation < last:
			return fmt.Errorf("generation %d answers behind %d", generation, last)
		case generation > last:
			last = generation
			c.saw <- sighting{client: c.number, generation: generation}
		}
		if err := c.visit(); err != nil {
			return fmt.Errorf("a new connection: %w", err)
		}
	}
	return nil
}

func (c *client) dial() (net.Conn, error) {
	network, address := "tcp", c.p.address
	if c.number%2 == 1 {
		network, address = "unix", c.p.path
	}
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(5 * patience))
}

// visit connects, exchanges a line, and closes.
func (c *client) visit() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = c.exchange(conn, bufio.NewReader(conn))
	return err
}

// exchange sends a line in two pieces, and returns the generation that has answered it. Every tenth client sends so much
// that the server has to queue the answer.
func (c *client) exchange(conn net.Conn, answers *bufio.Reader) (generation int, err error) {
	size := c.rand.IntN(3000)
	if c.number%10 == 0 {
		size = 400_000
	}
	c.sent++
	line := append(fmt.Appendf(nil, "client %d line %d ", c.number, c.sent), bytes.Repeat([]byte{'a' + byte(c.sent%26)}, size)...)
	line = append(line, '\n')
	cut := c.rand.IntN(len(line))
	if _, err := conn.Write(line[:cut]); err != nil {
		return 0, err
	}
	time.Sleep(time.Duration(c.rand.IntN(int(10 * time.Millisecond)))) // so that many are in the middle of a line
	if _, err := conn.Write(line[cut:]); err != nil {
		return 0, err
	}
	answer, err := answers.ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("line %d, after %d bytes of %d of the answer: %w", c.sent, len(answer), len(line), err)
	}
	number, rest, _ := bytes.Cut(answer, []byte(" "))
	if !bytes.Equal(rest, line) {
		return 0, fmt.Errorf("line %d: the answer is %.80q (%d bytes) to %.80q (%d bytes)", c.sent, answer, len(rest), line, len(line))
	}
	return strconv.Atoi(string(number))
}
