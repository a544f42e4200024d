//go:build linux

package servers

import (
	"errors"
	"fmt"
	"os"

	uring "github.com/tandem-io/tandem/backend_uring/ring"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

func bareUringImplementation() Implementation {
	return Implementation{
		Name:  "bare-uring",
		Bare:  true,
		About: "the floor on io_uring: one thread, one ring, nothing else",
		Modes: []string{workload.ModeEcho, workload.ModeDiscard},
		Open:  openBareUring,
	}
}

// The ring of the floor. Few and small buffers stay in the cache of the processor.
const (
	ringEntries     = 4096
	ringCompletions = 16384
	ringFlags       = uring.SetupSubmitAll | uring.SetupClamp | uring.SetupSingleIssuer | uring.SetupDeferTaskrun |
		uring.SetupRDisabled
	ringBuffers    = 128
	ringBufferSize = 16 << 10
	ringGroup      = 0
)

// bareUring is a minimal io_uring echo server: multishot accept, multishot receive into a buffer ring, and sends
// straight from those buffers, one at a time per connection. It is a floor to measure against, not a model.
type bareUring struct {
	*bare
	Config
	ring     *uring.Ring
	bufs     *uring.BufRing
	memory   []byte      // the buffers; mapped, and left mapped, because the kernel may write to it until the end
	conns    []uringConn // by descriptor
	starved  []int       // connections whose receive ended because all buffers were lent
	returned int         // buffers given back in this turn
	err      error       // the error that ends the loop
}

// uringConn is a connection.
type uringConn struct {
	sending bool    // a send is in flight
	ended   bool    // nothing more is received; closed after the last send
	queue   []chunk // received while a send was in flight
}

// chunk is what one receive put into one buffer.
type chunk struct {
	bid uint16
	n   uint32
}

func openBareUring(c Config) (*Server, error) {
	b, err := openBare(c)
	if err != nil {
		return nil, err
	}
	s := &bareUring{bare: b, Config: c}
	details := fmt.Sprintf("one loop, defer-taskrun, %d buffers of %d KiB", ringBuffers, ringBufferSize>>10)
	return b.serve(details, s.setup, s.loop)
}

func (s *bareUring) setup() error {
	ring, err := uring.New(ringEntries, ringCompletions, ringFlags)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: needs io_uring of Linux 6.1: %w", errors.ErrUnsupported, err)
	}
	if err != nil {
		return err
	}
	s.ring = ring
	if err := s.lendBuffers(); err != nil {
		_ = ring.Close()
		return err
	}
	return nil
}

// lendBuffers enables the ring and gives it all buffers.
func (s *bareUring) lendBuffers() (err error) {
	if err := s.ring.Enable(); err != nil {
		return err
	}
	_ = s.ring.RegisterRingFD() // works without, for a little more
	s.memory, err = unix.Mmap(-1, 0, ringBuffers*ringBufferSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map the buffers: %w", os.NewSyscallError("mmap", err))
	}
	if s.bufs, err = uring.NewBufRing(s.ring, ringGroup, ringBuffers, 0); err != nil {
		return err
	}
	for bid := range uint16(ringBuffers) {
		s.bufs.Add(bid, s.buffer(bid, ringBufferSize))
	}
	s.bufs.Publish()
	return nil
}

func (s *bareUring) buffer(bid uint16, n uint32) []byte {
	at := int(bid) * ringBufferSize
	return s.memory[at : at+int(n)]
}

// loop polls before it sleeps, as the floor on epoll does.
func (s *bareUring) loop() error {
	defer s.ring.Close()
	s.accept()
	s.watchStop()
	for s.err == nil && !s.stopped.Load() {
		err := s.ring.Enter()
		if err == nil && s.ring.Ready() == 0 {
			err = s.ring.Wait(-1)
		}
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		for c := s.ring.PeekCQE(); c != nil; c = s.ring.PeekCQE() {
			s.complete(c)
			s.ring.Advance()
		}
		s.endTurn()
	}
	return s.err
}
