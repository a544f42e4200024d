package backendtest

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/tandem-io/tandem/session"
)

// model is what the rules say of a stream after some operations.
type model struct {
	fin      bool    // CloseWrite was called
	closed   bool    // Close was called
	detached bool    // Detach returned a Conn
	paused   bool    // PauseRead was called on the loop, and ResumeRead was not
	over     bool    // OnClose runs, or has run
	causes   []error // of Abort and AbortWith, in order
}

func (m *model) open() bool { return !m.closed && !m.detached && !m.over && len(m.causes) == 0 }

// lenient reports whether an operation may succeed although the stream is ending.
func (m *model) lenient(what string) bool { return what == "Post" && !m.over }

// trial is one combination on one stream.
type trial struct {
	combination
	e      *Env
	stage  *stage
	in     []byte // what the peer sends
	source []byte // what is written
	p      Peer
	r      *reading // what the peer reads

	opened chan struct{} // closed when OnOpen has run
	ran    chan struct{} // closed when the operations have
	closed chan struct{} // closed when OnClose has

	mu         sync.Mutex // guards what follows
	m          model
	s          *session.Stream
	conn       net.Conn // from Detach
	err        error    // of OnClose
	read       int      // how much of in was read
	writes     []*written
	posted     int // functions that were accepted, and have not run
	timers     int // that have not run
	generation int // of the handler
	started    bool
	finishing  bool
	callback   string // that is running
	eof        bool   // OnEOF ran
	filled     int    // bytes written before the operations
}

// fill is how many bytes a peer that does not read leaves queued, for the most part.
const fill = 512 << 10

// newTrial makes the nth trial, with bytes of its own.
func newTrial(st *stage, c combination, n int) *trial {
	at := fill + n%4096*4001 // nothing of it is in what fillQueue writes
	x := &trial{
		combination: c, e: st.e, stage: st, in: pattern()[at:][:4*block], source: pattern()[at+4*block:],
		opened: make(chan struct{}), ran: make(chan struct{}), closed: make(chan struct{}),
	}
	if x.at == inOpen && (x.has("Close") || x.has("Abort") || x.has("AbortWith")) {
		x.in = nil // would come to a closed socket, and be answered by a reset
	}
	return x
}

func (x *trial) has(name string) bool {
	for _, o := range x.ops {
		if o.name == name {
			return true
		}
	}
	return false
}

// nextBlock is what is written next.
func (x *trial) nextBlock() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.source[:block:block]
	x.source = x.source[block:]
	return b
}

func (x *trial) errorf(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.errorLocked(format, args...)
}

func (x *trial) errorLocked(format string, args ...any) {
	x.stage.all.problems.Add(1)
	x.e.Errorf("%s: "+format, append([]any{x.combination}, args...)...)
}

// overdue is errorf for an event that did not come in time. It ends the rule: later ones would not come either.
func (x *trial) overdue(format string, args ...any) {
	x.stage.all.problems.Add(tooMany)
	x.errorf(format, args...)
}

// mayEnd reports whether the peer may have ended the stream before or between the operations.
func (x *trial) mayEnd() bool {
	switch {
	case !x.early || x.at == inClose:
		return false
	case x.peer == fin:
		return x.at == inWritable || x.at == inPost || x.at == inTimer || x.at == across
	}
	return x.peer == reset
}

// waits waits for a channel to be closed. What does not come is an error.
func (x *trial) waits(ch <-chan struct{}, what string) bool {
	if await(ch) {
		return true
	}
	x.overdue("%s within %v", what, patience)
	return false
}

// try makes one trial from its beginning to its end.
func (st *stage) try(c combination, n int) {
	x := newTrial(st, c, n)
	p, err := st.connect(x)
	switch {
	case err == nil:
		x.p = p
		defer p.Close()
	case x.at != inOpen || x.e.Dialled:
		x.errorf("connect: %v", err)
		return
	}
	if x.waits(x.opened, "no OnOpen") && x.begin() && x.finish() {
		x.check()
	}
}

// begin has the peer send, and the operations run.
func (x *trial) begin() bool {
	if x.p == nil {
		return true
	}
	late := x.peer == fullQueue || x.at == inWritable
	if !late {
		x.r = readOn(x.p)
	}
	if len(x.in) > 0 {
		if _, err := x.p.Write(x.in); err != nil {
			x.errorf("the peer's write: %v", err)
			return false
		}
	}
	if x.early || x.at == inEOF {
		x.acts()
	}
	x.trigger()
	select {
	case <-x.ran:
	case <-x.closed:
	case <-time.After(patience):
		x.overdue("the operations have not run within %v, and there is no OnClose", patience)
		return false
	}
	if !x.early && x.at != inEOF {
		x.acts()
	}
	if x.r == nil {
		x.r = readOn(x.p)
	}
	return true
}

// acts does what the peer has to do.
func (x *trial) acts() {
	switch {
	case x.at == inEOF || x.peer == fin:
		_ = x.p.CloseWrite() // fails if the stream was reset
		if x.peer == reset && !x.early {
			_ = x.p.Reset()
		}
	case x.peer == reset:
		_ = x.p.Reset()
	}
}

// trigger has the operations run, if they do not by themselves.
func (x *trial) trigger() {
	operate := func() { x.operate(x.s) }
	switch x.at {
	case inPost:
		if err := x.s.Post(operate); err != nil && !x.mayEnd() {
			x.errorf("Post: %v", err)
		}
	case inTimer:
		x.s.After(0, operate)
	case inWritable:
		x.fillQueue(x.s)
		x.r = readOn(x.p)
	case inClose:
		if x.peer == silence {
			_ = x.s.Close()
		} else {
			_ = x.p.CloseWrite()
		}
	case across:
		x.operateAcross()
	}
}

// fillQueue writes more than the kernel takes while the peer does not read.
func (x *trial) fillQueue(s *session.Stream) {
	_, err := s.Write(pattern()[:fill])
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.filled += fill
	} else if !x.mayEnd() {
		x.errorLocked("Write: %v", err)
	}
}

// operate runs the operations, in order, in a callback.
func (x *trial) operate(s *session.Stream) {
	x.mu.Lock()
	again := x.started
	x.started = true
	x.mu.Unlock()
	if again {
		return
	}
	if x.peer == fullQueue && x.at != inClose {
		x.fillQueue(s)
	}
	for _, o := range x.ops {
		o.do(x, s)
	}
	close(x.ran)
}

// operateAcross runs the operations at once. Those that belong to the loop are posted there.
func (x *trial) operateAcross() {
	if x.peer == fullQueue {
		x.fillQueue(x.s)
	}
	var barrier, all sync.WaitGroup
	barrier.Add(len(x.ops))
	for _, o := range x.ops {
		do := func() { o.do(x, x.s) }
		all.Go(func() {
			barrier.Done()
			barrier.Wait()
			if !o.loop {
				do()
				return
			}
			done := make(chan struct{})
			if x.s.Post(func() { defer close(done); do() }) == nil {
				select {
				case <-done:
				case <-x.closed:
				}
			}
		})
	}
	all.Wait()
	close(x.ran)
}

// finish ends the stream, if the operations have not, and waits for its end and the peer's.
func (x *trial) finish() bool {
	x.mu.Lock()
	x.finishing, x.m.paused = true, false
	conn := x.conn
	x.mu.Unlock()
	x.s.ResumeRead()
	_ = x.s.Post(func() { x.collect(x.s) }) // fails if it has ended
	if x.p != nil {
		x.timersRun()
		_ = x.p.CloseWrite() // fails if it was reset
	}
	if conn != nil {
		x.useConn(conn)
	}
	if !x.waits(x.closed, "no OnClose") {
		return false
	}
	return x.r == nil || x.waits(x.r.done, "the peer's connection does not end")
}

// timersRun waits for the timers of a stream that stays open.
func (x *trial) timersRun() {
	x.mu.Lock()
	open := x.m.open() && x.peer != reset && !x.mayEnd() && x.at != inEOF
	x.mu.Unlock()
	if open && !waitFor(func() bool { x.mu.Lock(); defer x.mu.Unlock(); return x.timers == 0 || x.m.over }) {
		x.overdue("a timer has not run within %v", patience)
	}
}

// useConn reads from a detached Conn what the stream left, and writes behind what it had queued.
func (x *trial) useConn(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(patience))
	defer c.Close()
	w := &written{bytes: x.nextBlock()}
	if x.m.fin {
		w.err = net.ErrClosed
	} else {
		_, w.err = c.Write(w.bytes)
	}
	got, err := io.ReadAll(c)
	x.consumed(got)
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.err == nil {
		x.writes = append(x.writes, w)
	}
	if x.peer == reset {
		return
	}
	if err != nil || w.err != nil && !x.m.fin {
		x.errorLocked("the Conn reads %v, and writes %v", err, w.err)
	}
	if x.read != len(x.in) {
		x.errorLocked("the stream and the Conn read %d of %d bytes", x.read, len(x.in))
	}
}
