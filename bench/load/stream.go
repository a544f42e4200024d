//go:build linux

package load

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// streamTraffic sends as fast as the server reads, and expects nothing back. A message counts when the kernel has taken
// its last byte; the kernel's buffers hold about as much at both ends of the window. At the end it sends a FIN and
// waits for the server's, which comes when the server has read everything: a server that closes with bytes unread
// resets the connection.
type streamTraffic struct {
	unpaced
	connections
	chunk    []byte // whole messages
	progress []streamProgress
}

// streamProgress is how far one connection is.
type streamProgress struct {
	at    int           // bytes of chunk that are sent
	sent  time.Duration // when the kernel last took something
	ended bool          // by the server
}

// ErrUnread is the error for a reset after the last byte.
var ErrUnread = errors.New("lost bytes: the server closed before it had read all that came before the FIN")

// streamChunk is how much is offered to the kernel at once, unless messages are larger.
const streamChunk = 256 << 10

func newStreamTraffic(g *generator) *streamTraffic {
	n := max(1, streamChunk/g.Size)
	return &streamTraffic{
		connections: connections{g: g}, chunk: newPattern(n*g.Size).batch(0, 0, n*g.Size),
		progress: make([]streamProgress, g.Conns),
	}
}

func (t *streamTraffic) open() error { return t.dial() }

func (t *streamTraffic) begin(now time.Duration) error {
	for i := range t.progress {
		t.progress[i].sent = now
		t.busy++
		if err := t.watch(unix.EPOLL_CTL_ADD, i, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
			return err
		}
	}
	return nil
}

func (t *streamTraffic) ready(i int, events uint32) error {
	c := &t.progress[i]
	if readable(events) {
		return t.ended(i)
	}
	if t.draining {
		return nil
	}
	n, err := t.write(i, t.chunk[c.at:])
	if err != nil {
		return err
	}
	if n > 0 {
		c.sent = t.g.now()
	}
	before := c.at / t.g.Size
	c.at += n
	t.g.messages += int64(c.at/t.g.Size - before)
	if c.at == len(t.chunk) {
		c.at = 0
	}
	return nil
}

// ended handles the FIN of the server.
func (t *streamTraffic) ended(i int) error {
	c := &t.progress[i]
	p, err := t.g.receive(i, t.all[i].fd)
	switch {
	case len(p) > 0:
		return fmt.Errorf("connection %d: %d bytes came back from a server that should drop what it gets", i, len(p))
	case err == nil:
		return nil
	case t.draining && errors.Is(err, unix.ECONNRESET):
		return fmt.Errorf("connection %d: %w: %w", i, ErrUnread, err)
	case !t.draining || !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	}
	c.ended = true
	t.busy--
	return t.watch(unix.EPOLL_CTL_DEL, i, 0)
}

func (t *streamTraffic) stalled(now time.Duration) error {
	for i := range t.progress {
		c := &t.progress[i]
		if late := now - c.sent; !c.ended && late > t.g.Stall {
			return fmt.Errorf("stall: the server has taken nothing of connection %d for %v", i, late.Round(time.Millisecond))
		}
	}
	return nil
}

func (t *streamTraffic) drain() error {
	t.draining = true
	now := t.g.now()
	for i := range t.progress {
		t.progress[i].sent = now
		if err := unix.Shutdown(t.all[i].fd, unix.SHUT_WR); err != nil {
			return fmt.Errorf("connection %d: %w", i, os.NewSyscallError("shutdown", err))
		}
		if err := t.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}
