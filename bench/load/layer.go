//go:build linux

package load

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// layer is what lies between the messages of a traffic and a socket: nothing, or a protocol. It checks what the protocol
// adds to the messages, and the traffic checks the messages.
type layer interface {
	// open goes on with the handshake, and reports whether it is over. Until it is, call it whenever the socket is ready.
	open() (over bool, err error)

	// write sends p, which is whole messages if the layer is a protocol, and returns how much of it was taken. What the
	// kernel does not take a protocol keeps.
	write(p []byte) (n int, err error)

	// pending reports whether something is kept, and flush sends it as far as the kernel takes it.
	pending() bool
	flush() error

	// read returns what has come of messages, which may be nothing. The bytes are lent until any layer is called again.
	read() ([]byte, error)

	// close gives up what the layer has besides the socket.
	close()
}

// newLayer returns the layer of a socket, which belongs to connection or slot i. The socket stays the caller's.
func (g *generator) newLayer(i, fd int) layer {
	s := socket{g: g, i: i, fd: fd}
	k := workload.Workload{Kind: g.Kind}
	switch k.Mode() {
	case workload.ModeTLSEcho:
		return newTLSLayer(s)
	case workload.ModeWSEcho:
		return newWSLayer(s)
	case workload.ModeHTTP, workload.ModeHTTPStd:
		return newHTTPLayer(s)
	}
	return plainLayer{s}
}

// socket is a socket of a generator.
type socket struct {
	g  *generator
	i  int // the connection, or the slot, as errors name it
	fd int
}

func (s socket) receive() ([]byte, error) { return s.g.receive(s.i, s.fd) }

func (s socket) fail(step string, err error) error {
	return fmt.Errorf("connection %d: %s: %w", s.i, step, err)
}

// plainLayer adds nothing.
type plainLayer struct{ socket }

func (plainLayer) open() (bool, error) { return true, nil }

func (l plainLayer) write(p []byte) (int, error) { return l.g.send(l.i, l.fd, p) }

func (plainLayer) pending() bool { return false }

func (plainLayer) flush() error { return nil }

func (l plainLayer) read() ([]byte, error) { return l.receive() }

func (plainLayer) close() {}

// sending is a socket with what is still to be sent there. Protocols embed it.
type sending struct {
	socket
	rest []byte
}

func (s *sending) pending() bool { return len(s.rest) > 0 }

func (s *sending) flush() error {
	if len(s.rest) == 0 {
		return nil
	}
	n, err := s.g.send(s.i, s.fd, s.rest)
	if err != nil {
		return err
	}
	s.rest = s.rest[:copy(s.rest, s.rest[n:])]
	return nil
}

func (*sending) close() {}

// openNow makes the whole handshake of a layer, within the limit for a stall.
func (g *generator) openNow(l layer, fd int) error {
	deadline := time.Now().Add(g.Stall)
	for {
		over, err := l.open()
		if over || err != nil {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("stall: the handshake is not over after %v", g.Stall)
		}
		events := int16(unix.POLLIN)
		if l.pending() {
			events |= unix.POLLOUT
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}
