package difftest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// subject is a stream under test, with its peer.
type subject struct {
	cfg      Config
	t        *trace
	p        *peer
	engine   *session.Engine
	others   []*subject
	ready    chan struct{} // closed when the peer is connected
	listener session.Listener

	mu    sync.Mutex // guards what follows
	s     *session.Stream
	conn  net.Conn
	next  map[Place]func() // what is to run in a callback, once
	until int              // bytes that OnData has to have seen before
	taken []taken

	// What follows belongs to the loop.
	inside   string // the callback that runs
	read     int
	handler  *handler
	promised map[string]bool
}

// taken is memory that Take has handed over, and what was in it.
type taken struct {
	b    *session.Buffer
	want string
}

// handler is one of the handlers that a subject's stream has.
type handler struct {
	x          *subject
	generation int
	keep       bool
}

func newSubject(e *session.Engine, c Config, others []*subject) *subject {
	x := &subject{
		cfg: c, t: newTrace(), engine: e, others: others, ready: make(chan struct{}), next: map[Place]func(){},
		promised: map[string]bool{},
	}
	x.handler = &handler{x: x, keep: c.Keep}
	return x
}

// options are those of the stream.
func (c Config) options() session.StreamOptions {
	o := session.StreamOptions{
		AllowHalfClose: c.AllowHalfClose, ReadWhileBlocked: c.ReadWhileBlocked, ReadBufferLimit: c.ReadLimit, HighWater: c.HighWater,
		CloseTimeout: -1,
	}
	if c.SmallQueue {
		o.WriteBufferLimit = smallQueue
	}
	if c.SmallBudget {
		o.TurnBudget = smallBudget
	}
	return o
}

// open begins the stream and connects its peer. OnOpen waits for that, because a peer may see a reset while it connects,
// or not.
func (x *subject) open() error {
	defer close(x.ready)
	network, address := x.cfg.address()
	var c net.Conn
	if x.cfg.Dialled {
		listening := net.ListenConfig{Control: x.cfg.control}
		l, err := listening.Listen(context.Background(), network, address)
		if err != nil {
			return err
		}
		defer l.Close()
		s, err := x.engine.Connect(network, l.Addr().String(), x.handler, &session.DialOptions{StreamOptions: x.cfg.options()})
		if err != nil {
			return err
		}
		x.setStream(s)
		if c, err = l.Accept(); err != nil {
			return err
		}
	} else {
		l, err := x.engine.Listen(network, address, x.handler, &session.ListenOptions{StreamOptions: x.cfg.options()})
		if err != nil {
			return err
		}
		x.listener = l // which would reset a connection that waits to be accepted, if it were closed now
		dialer := net.Dialer{Timeout: patience, Control: x.cfg.control}
		if c, err = dialer.Dial(network, l.Addr().String()); err != nil {
			return err
		}
	}
	x.p = newPeer(c)
	return nil
}

func (x *subject) setStream(s *session.Stream) {
	x.mu.Lock()
	x.s = s
	x.mu.Unlock()
}

// stream is the stream, once there is one.
func (x *subject) stream() *session.Stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.s
}

// at has fn run in the next callback of a place.
func (x *subject) at(p Place, fn func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next[p] = fn
}

// run runs what is to run in a callback.
func (x *subject) run(p Place) {
	x.mu.Lock()
	fn := x.next[p]
	delete(x.next, p)
	x.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// atData has fn run in the first OnData that has seen so many bytes. Those of earlier steps may be arriving right now.
func (x *subject) atData(until int, fn func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next[InData], x.until = fn, until
}

// runData runs what is to run in an OnData that has seen so many bytes.
func (x *subject) runData(seen int) {
	if fn := x.dueData(seen); fn != nil {
		fn()
	}
}

// dueData looks at the bytes and at what waits for them in one step, or a function could run that has come in between.
func (x *subject) dueData(seen int) func() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seen < x.until {
		return nil
	}
	fn := x.next[InData]
	delete(x.next, InData)
	return fn
}

// enter checks that a callback may begin; the function that it returns ends it.
func (h *handler) enter(callback string) (leave func()) {
	x := h.x
	if x.inside != "" {
		x.t.fault("%s during %s", callback, x.inside)
	}
	if x.handler != h {
		x.t.fault("%s of a handler that was replaced", callback)
	}
	x.t.mu.Lock()
	if x.t.closed {
		x.t.faults = append(x.t.faults, callback+" after OnClose")
	}
	x.t.mu.Unlock()
	x.inside = callback
	return func() {
		x.inside = ""
		if callback != "OnClose" {
			x.note()
		}
	}
}

// note notes how much is unread.
func (x *subject) note() {
	n := x.stream().Buffered()
	x.t.mu.Lock()
	x.t.buffered = n
	x.t.mu.Unlock()
}

// OnOpen implements session.Handler.
func (h *handler) OnOpen(s *session.Stream) {
	defer h.enter("OnOpen")()
	x := h.x
	<-x.ready
	x.setStream(s)
	if x.cfg.Tight {
		if err := s.SetSocketOption(backend.SendBuffer(window)); err != nil {
			x.t.fault("SetSocketOption: %v", err)
		}
	}
	x.t.called(handled("OnOpen", h.generation))
	x.run(InOpen)
}

// OnData implements session.Handler.
func (h *handler) OnData(s *session.Stream) {
	defer h.enter("OnData")()
	x := h.x
	seen := x.read + s.Buffered()
	if h.keep {
		x.t.sees()
	} else {
		h.collect(s)
	}
	x.runData(seen)
}

// collect reads everything.
func (h *handler) collect(s *session.Stream) {
	p, _ := s.Next(-1)
	h.x.read += len(p)
	h.x.t.delivered(h.generation, p)
}

// OnEOF implements session.Handler.
func (h *handler) OnEOF(*session.Stream) {
	defer h.enter("OnEOF")()
	h.x.t.called(handled("OnEOF", h.generation))
	h.x.run(InEOF)
}

// OnWritable implements session.Handler.
func (h *handler) OnWritable(*session.Stream) {
	defer h.enter("OnWritable")()
	h.x.t.mu.Lock()
	h.x.t.writable++
	h.x.t.mu.Unlock()
	h.x.run(InWritable)
}

// OnClose implements session.Handler. What came before a failure can still be read.
func (h *handler) OnClose(s *session.Stream, err error) {
	defer h.enter("OnClose")()
	x, what := h.x, classify(err)
	if what == "reset" || what == "pipe" {
		h.collect(s)
	}
	for name := range x.promised {
		x.t.mu.Lock()
		_, kept := x.t.events[name]
		x.t.mu.Unlock()
		if !kept {
			x.t.fault("%s has not run before OnClose", name)
		}
	}
	x.t.called(handled("OnClose "+what, h.generation))
	x.t.mu.Lock()
	x.t.closed = true
	x.t.mu.Unlock()
	x.run(InClose)
}

// step begins a step.
func (x *subject) step(k int, s step) error {
	x.t.begin(k)
	if len(s.ops) > 0 && s.ops[0].Kind.isPeers() {
		x.p.do(s.ops)
		return nil
	}
	if len(s.ops) > 0 && s.ops[0].Kind.isConns() {
		x.mu.Lock()
		c := x.conn
		x.mu.Unlock()
		if c == nil {
			return fmt.Errorf("there is no Conn")
		}
		x.t.connOp(c, s.ops[0])
		return nil
	}
	batch := func(loop bool) func() {
		return func() {
			for _, a := range s.ops {
				x.do(a, loop)
			}
		}
	}
	var err error
	if s.place == OffLoop {
		batch(false)()
	} else {
		err = x.cause(k, s, batch(true))
	}
	for _, a := range s.ops {
		again := (a.Kind == SetHandler || a.Kind == Resume) && s.place == InData
		if (a.n == flood || again) && err == nil && s.after[s.stream].phase == alive {
			x.turnEnds()
		}
	}
	return err
}

// turnEnds waits until the loop has ended a turn. Only then a stream whose queue is too long reads no more, and OnData has
// been called again.
func (x *subject) turnEnds() {
	done := make(chan struct{})
	x.stream().After(0, func() {
		x.stream().After(0, func() { x.stream().After(0, func() { close(done) }) })
	})
	select {
	case <-done:
	case <-time.After(patience / 10): // the stream has ended in the same step
	}
}

// cause has the operations of a step run in their callback.
func (x *subject) cause(k int, s step, batch func()) error {
	fill := func() []byte { return content(triggerID(k), s.trigger) }
	post := func(fn func()) error { return x.stream().Post(fn) }
	switch s.place {
	case InOpen:
		x.at(InOpen, batch)
		return x.open()
	case InPost:
		return post(batch)
	case InTimer:
		x.stream().After(0, batch)
	case InData:
		sent, _, _ := x.p.promised()
		x.atData(sent+s.trigger, batch)
		x.p.write(fill())
	case InEOF:
		x.at(InEOF, batch)
		x.p.finish()
	case InWritable:
		x.at(InWritable, batch)
		return post(func() { _, _ = x.stream().Write(fill()) })
	case InNotify:
		return x.stream().WriteNotify(fill(), func(err error) {
			x.t.event(triggerName(k), classify(err))
			batch()
		})
	case InClose:
		x.at(InClose, batch)
		return x.stream().Close()
	}
	return nil
}

// end gives back what the program has left.
func (x *subject) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range x.taken {
		if string(t.b.Bytes()) != t.want {
			x.t.fault("memory that Take handed over has changed")
		}
		t.b.Release()
	}
	if x.conn != nil {
		_ = x.conn.Close()
	}
	if x.p != nil {
		x.p.close()
	}
	if x.listener != nil {
		_ = x.listener.Close()
	}
	if x.s != nil {
		_ = x.s.Abort()
	}
}
