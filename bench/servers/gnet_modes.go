//go:build linux

package servers

import (
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/tandem-io/tandem/bench/workload"
)

// gnetHandler returns the handler of a mode. Call end when no more callbacks can come.
func gnetHandler(c Config, s *gnetServer) (h gnet.EventHandler, end func()) {
	switch c.Mode {
	case workload.ModeFrameEcho:
		return &gnetFrames{s, c.Work}, func() {}
	case workload.ModeDiscard:
		return &gnetDiscard{s}, func() {}
	case workload.ModeFanOut:
		return &gnetFanOut{gnetServer: s}, func() {}
	case workload.ModeWorker:
		w := startWorkers()
		return &gnetWorker{gnetServer: s, workers: w}, w.stop
	default:
		return &gnetEcho{s, c.Work}, func() {}
	}
}

type gnetEcho struct {
	*gnetServer
	work time.Duration
}

// OnTraffic implements gnet.EventHandler.
func (h *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	burn(h.work)
	_, _ = c.Write(p) // which closes the connection if it fails
	return gnet.None
}

type gnetDiscard struct{ *gnetServer }

// OnTraffic implements gnet.EventHandler.
func (h *gnetDiscard) OnTraffic(c gnet.Conn) gnet.Action {
	_, _ = c.Discard(-1)
	return gnet.None
}

type gnetFrames struct {
	*gnetServer
	work time.Duration
}

// OnTraffic implements gnet.EventHandler.
func (h *gnetFrames) OnTraffic(c gnet.Conn) gnet.Action {
	for c.InboundBuffered() >= workload.FrameHead {
		head, _ := c.Peek(workload.FrameHead)
		n, err := workload.FrameLength(head)
		if err != nil {
			return gnet.Close
		}
		if c.InboundBuffered() < n {
			break
		}
		frame, _ := c.Next(n)
		burn(h.work)
		if _, err := c.Write(frame); err != nil {
			return gnet.Close
		}
	}
	return gnet.None
}

type gnetFanOut struct {
	*gnetServer
	members members[gnet.Conn]
}

// OnOpen implements gnet.EventHandler.
func (h *gnetFanOut) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	h.members.join(c)
	return []byte{workload.Greeting}, gnet.None
}

// OnTraffic implements gnet.EventHandler. Connections may belong to other loops, so it uses AsyncWrite, which needs
// bytes that stay valid.
func (h *gnetFanOut) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	p = append([]byte(nil), p...)
	for _, to := range h.members.all() {
		_ = to.AsyncWrite(p, nil)
	}
	return gnet.None
}

// OnClose implements gnet.EventHandler.
func (h *gnetFanOut) OnClose(c gnet.Conn, _ error) gnet.Action {
	h.members.leave(c)
	return gnet.None
}

type gnetWorker struct {
	*gnetServer
	workers *workers
	keys    atomic.Uint64
}

// OnOpen implements gnet.EventHandler.
func (h *gnetWorker) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(h.keys.Add(1))
	return nil, gnet.None
}

// OnTraffic implements gnet.EventHandler.
func (h *gnetWorker) OnTraffic(c gnet.Conn) gnet.Action {
	p, _ := c.Next(-1)
	h.workers.hand(c.Context().(uint64), gnetAnswer{c}, p)
	return gnet.None
}

type gnetAnswer struct{ conn gnet.Conn }

func (a gnetAnswer) answer(p *[]byte) {
	written := func(gnet.Conn, error) error {
		giveBytes(p)
		return nil
	}
	_ = a.conn.AsyncWrite(*p, written)
}
