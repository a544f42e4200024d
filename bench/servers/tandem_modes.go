//go:build linux

package servers

import (
	"net/http"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/bench/workload"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/wssession"
)

// tandemHandler returns the handler of a mode. Call end when no more callbacks can come.
func tandemHandler(c Config) (h tandem.Handler, end func()) {
	switch c.Mode {
	case workload.ModeFrameEcho:
		return tandemFrames(c.Work), func() {}
	case workload.ModeDiscard:
		return tandemDiscard{}, func() {}
	case workload.ModeFanOut:
		return &tandemFanOut{}, func() {}
	case workload.ModeWorker:
		w := startWorkers()
		return tandemWorker{workers: w}, w.stop
	case workload.ModeWSEcho:
		return httpsession.Handler(wssession.Serve(tandemWS{}, nil), nil), func() {}
	case workload.ModeHTTP:
		return httpsession.RawHandler(serveRawHello, nil), func() {}
	case workload.ModeHTTPStd:
		return httpsession.Handler(http.HandlerFunc(serveHello), nil), func() {}
	default:
		return tandemEcho{work: c.Work}, func() {}
	}
}

// The handlers below ignore errors of reading and writing: the stream closes by itself.

func serveRawHello(x *httpsession.RawExchange) {
	_ = x.Response.Add("Content-Type", "text/plain")
	_, _ = x.Response.WriteString(workload.Hello)
}

// tandemEcho sends back what it receives.
type tandemEcho struct {
	tandem.BaseHandler
	work time.Duration
}

// OnData implements tandem.Handler.
func (h tandemEcho) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	burn(h.work)
	_, _ = s.Write(p)
}

// tandemWS sends back the messages that it receives.
type tandemWS struct{ wssession.BaseHandler }

// OnMessage implements wssession.Handler.
func (tandemWS) OnMessage(c *wssession.Conn, m websocket.Message) { _ = c.Write(m) }

// tandemDiscard drops what it receives.
type tandemDiscard struct{ tandem.BaseHandler }

// OnData implements tandem.Handler.
func (tandemDiscard) OnData(s *tandem.Stream) { _, _ = s.Discard(-1) }

// tandemFanOut sends everything it receives to all streams.
type tandemFanOut struct {
	tandem.BaseHandler
	members members[*tandem.Stream]
}

// OnOpen implements tandem.Handler.
func (h *tandemFanOut) OnOpen(s *tandem.Stream) {
	h.members.join(s)
	_, _ = s.Write([]byte{workload.Greeting})
}

// OnData implements tandem.Handler.
func (h *tandemFanOut) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	for _, to := range h.members.all() {
		_, _ = to.Write(p)
	}
}

// OnClose implements tandem.Handler.
func (h *tandemFanOut) OnClose(s *tandem.Stream, _ error) { h.members.leave(s) }

// tandemWorker lets a worker write the answers.
type tandemWorker struct {
	tandem.BaseHandler
	workers *workers
}

// OnData implements tandem.Handler.
func (h tandemWorker) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	h.workers.hand(s.ID(), tandemAnswer{s}, p)
}

type tandemAnswer struct{ stream *tandem.Stream }

func (a tandemAnswer) answer(p *[]byte) {
	_, _ = a.stream.Write(*p)
	giveBytes(p)
}
