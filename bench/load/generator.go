//go:build linux

package load

import (
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// generator is the client: one epoll loop over all connections, on one thread. Like the floor it polls before it
// sleeps, so that it costs no more than the cheapest server. The traffic decides what is sent and what has to come
// back.
type generator struct {
	Config
	traffic traffic
	ep      int
	events  [512]unix.EpollEvent
	buf     []byte
	plain   []byte // what layers decrypt

	tlsConfigs []*tls.Config // by connection or slot

	epoch     time.Time // all times count from here
	latencies latencies
	messages  int64
	late      int64 // open loop: due and not answered at the end
	behind    int64 // open loop: sent too late, and not because of the server
	nextCheck time.Duration
}

// traffic is what goes over the connections. Its methods run on the generator's thread.
type traffic interface {
	// open connects.
	open() error
	// begin sends the first messages.
	begin(now time.Duration) error
	// ready handles the events that epoll reports for a key.
	ready(key int, events uint32) error
	// due sends the messages that are due, and returns when the next one is: never in a closed loop.
	due(now time.Duration) (time.Duration, error)
	// stalled returns an error if an answer is overdue.
	stalled(now time.Duration) error
	// drain stops sending. What is in flight still comes back.
	drain() error
	// waiting returns the number of connections that wait for something.
	waiting() int
	// close closes every connection.
	close()
}

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// receiveBuffer is how much one receive can take.
const receiveBuffer = 256 << 10

func newGenerator(config Config) (*generator, error) {
	g := &generator{
		Config:    config,
		buf:       make([]byte, receiveBuffer),
		latencies: newLatencies(),
		epoch:     time.Now(),
	}
	var err error
	if g.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	g.traffic = newTraffic(g)
	if err := g.traffic.open(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func newTraffic(g *generator) traffic {
	switch {
	case g.Kind == workload.KindStream:
		return newStreamTraffic(g)
	case g.Kind == workload.KindFanOut:
		return newFanOutTraffic(g)
	case g.Kind == workload.KindChurn || g.Kind == workload.KindTLSFull || g.Kind == workload.KindTLSResume:
		return newChurnTraffic(g)
	case g.Rate > 0:
		return newOpenTraffic(g)
	default:
		return newClosedTraffic(g)
	}
}

func (g *generator) close() {
	g.traffic.close()
	_ = unix.Close(g.ep)
}

func (g *generator) now() time.Duration { return time.Since(g.epoch) }

// run warms up, measures, and then waits for every outstanding answer, so that a lost one is noticed.
func (g *generator) run() (results.Sample, error) {
	if err := g.traffic.begin(g.now()); err != nil {
		return results.Sample{}, err
	}
	if err := g.loop(g.now() + g.Warmup); err != nil {
		return results.Sample{}, err
	}
	s, err := g.measure()
	if err != nil {
		return results.Sample{}, err
	}
	if err := g.traffic.drain(); err != nil {
		return results.Sample{}, err
	}
	return s, g.loop(-1)
}

// loop serves the connections until the given time. If that is negative, it serves them until none waits for anything.
func (g *generator) loop(until time.Duration) error {
	for {
		now := g.now()
		if until >= 0 && now >= until || until < 0 && g.traffic.waiting() == 0 {
			return nil
		}
		if now >= g.nextCheck {
			if err := g.traffic.stalled(now); err != nil {
				return err
			}
			g.nextCheck = now + g.Stall/4
		}
		next, err := g.traffic.due(now)
		if err != nil {
			return err
		}
		wake := min(g.nextCheck, next)
		if until >= 0 {
			wake = min(wake, until)
		}
		n, err := g.wait(wake-now, next != never)
		if err != nil {
			return fmt.Errorf("wait for events: %w", os.NewSyscallError("epoll_pwait", err))
		}
		for i := range g.events[:n] {
			if err := g.traffic.ready(int(g.events[i].Fd), g.events[i].Events); err != nil {
				return err
			}
		}
	}
}

// spinBelow is how long before a message is due the generator no longer sleeps: waking up takes up to that long.
const spinBelow = 200 * time.Microsecond

// wait polls for events, and sleeps at most d if there are none. If paced, it does not oversleep.
func (g *generator) wait(d time.Duration, paced bool) (int, error) {
	switch {
	case !paced:
		return sockets.Wait(g.ep, g.events[:], int(d.Milliseconds())+1)
	case d <= spinBelow:
		return sockets.PollNow(g.ep, g.events[:])
	default:
		return sockets.WaitFor(g.ep, g.events[:], d-spinBelow)
	}
}

// dial opens one connection. It is not watched yet.
func (g *generator) dial(i int) (int, error) {
	fd, err := sockets.Dial(g.Addr, g.Stall)
	if err != nil {
		return -1, fmt.Errorf("connection %d: %w", i, err)
	}
	return fd, nil
}

// watch sets the events that wake the loop for a descriptor. The event carries the key in place of the descriptor.
func (g *generator) watch(op, fd, key int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(key)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(g.ep, op, fd, &e))
}

// receive returns what came on connection i, or nothing and no error if nothing did. The bytes are lent until the next
// call.
func (g *generator) receive(i, fd int) ([]byte, error) {
	n, err := sockets.RecvNow(fd, g.buf)
	switch {
	case err == unix.EAGAIN:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("connection %d: %w", i, os.NewSyscallError("recv", err))
	case n == 0:
		return nil, fmt.Errorf("connection %d: the server closed it: %w", i, io.ErrUnexpectedEOF)
	}
	return g.buf[:n], nil
}

// send sends what the kernel takes of p now.
func (g *generator) send(i, fd int, p []byte) (int, error) {
	n, err := sockets.SendNow(fd, p)
	if err != nil && err != unix.EAGAIN {
		return 0, fmt.Errorf("connection %d: %w", i, os.NewSyscallError("send", err))
	}
	return n, nil
}

// readable reports whether there is something to receive, which may be an end or an error.
func readable(events uint32) bool {
	return events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0
}

// count counts n messages that were answered after d.
func (g *generator) count(n int, d time.Duration) {
	if n > 0 {
		g.latencies.record(d, n)
		g.messages += int64(n)
	}
}

// unpaced is what all closed loops share: nothing is due at a given time, and drain waits for what is in flight.
type unpaced struct {
	busy     int // connections that wait for something
	draining bool
}

func (*unpaced) due(time.Duration) (time.Duration, error) { return never, nil }

func (u *unpaced) drain() error {
	u.draining = true
	return nil
}

func (u *unpaced) waiting() int { return u.busy }
