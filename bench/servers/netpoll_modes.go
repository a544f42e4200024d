//go:build linux

package servers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/tandem-io/tandem/bench/workload"
)

// netpollMode returns the handler and the options of a mode. Call end when no handler can run any more.
func netpollMode(c Config) (on netpoll.OnRequest, options []netpoll.Option, end func()) {
	end = func() {}
	switch c.Mode {
	case workload.ModeFrameEcho:
		on = func(_ context.Context, conn netpoll.Connection) error { return netpollFrames(conn, c.Work) }
	case workload.ModeDiscard:
		on = netpollDiscard
	case workload.ModeFanOut:
		f := new(netpollFanOut)
		on = f.request
		options = []netpoll.Option{netpoll.WithOnConnect(f.connect)}
	case workload.ModeWorker:
		h := &netpollWorker{workers: startWorkers()}
		on, end = h.request, h.workers.stop
		options = []netpoll.Option{netpoll.WithOnConnect(h.connect)}
	default:
		on = func(_ context.Context, conn netpoll.Connection) error { return netpollEcho(conn, c.Work) }
	}
	return on, options, end
}

// netpollEcho flushes before it releases what it read, because a large answer is written from that memory.
func netpollEcho(c netpoll.Connection, work time.Duration) error {
	r := c.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	burn(work)
	if err := netpollWrite(c, p); err != nil {
		return err
	}
	return r.Release()
}

func netpollWrite(c netpoll.Connection, p []byte) error {
	w := c.Writer()
	if _, err := w.WriteBinary(p); err != nil {
		return err
	}
	return w.Flush()
}

func netpollDiscard(_ context.Context, c netpoll.Connection) error {
	r := c.Reader()
	if err := r.Skip(r.Len()); err != nil {
		return err
	}
	return r.Release()
}

// netpollFrames waits for the rest of a frame in the handler, which has a goroutine of its own in netpoll.
func netpollFrames(c netpoll.Connection, work time.Duration) error {
	r := c.Reader()
	for r.Len() > 0 {
		head, err := r.Peek(workload.FrameHead)
		if err != nil {
			return err
		}
		n, err := workload.FrameLength(head)
		if err != nil {
			return c.Close()
		}
		frame, err := r.Next(n)
		if err != nil {
			return err
		}
		burn(work)
		if err := netpollWrite(c, frame); err != nil {
			return err
		}
		if err := r.Release(); err != nil {
			return err
		}
	}
	return nil
}

// netpollFanOut sends everything it receives to all. Only one goroutine at a time may use the Writer of a connection.
type netpollFanOut struct{ members members[*netpollMember] }

type netpollMember struct {
	conn netpoll.Connection
	mu   sync.Mutex // held while writing
}

func (m *netpollMember) write(p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = netpollWrite(m.conn, p) // its own handler finds out if it has ended
}

func (f *netpollFanOut) connect(ctx context.Context, c netpoll.Connection) context.Context {
	m := &netpollMember{conn: c}
	f.members.join(m)
	_ = c.AddCloseCallback(func(netpoll.Connection) error { // it never fails
		f.members.leave(m)
		return nil
	})
	m.write([]byte{workload.Greeting})
	return ctx
}

func (f *netpollFanOut) request(_ context.Context, c netpoll.Connection) error {
	r := c.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	for _, m := range f.members.all() {
		m.write(p)
	}
	return r.Release()
}

// netpollWorker lets a worker write the answers.
type netpollWorker struct {
	workers *workers
	keys    atomic.Uint64
}

type netpollKey struct{}

func (h *netpollWorker) connect(ctx context.Context, _ netpoll.Connection) context.Context {
	return context.WithValue(ctx, netpollKey{}, h.keys.Add(1))
}

func (h *netpollWorker) request(ctx context.Context, c netpoll.Connection) error {
	r := c.Reader()
	p, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	h.workers.hand(ctx.Value(netpollKey{}).(uint64), netpollAnswer{c}, p)
	return r.Release()
}

type netpollAnswer struct{ conn netpoll.Connection }

func (a netpollAnswer) answer(p *[]byte) {
	_ = netpollWrite(a.conn, *p)
	giveBytes(p)
}
