package backendtest

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/tandem-io/tandem/session"
)

// operation is a call on a stream. It records in the model what must follow from it.
type operation struct {
	name string
	loop bool // it belongs to the stream's loop
	do   func(x *trial, s *session.Stream)
}

var operations = []*operation{
	{"Take", true, (*trial).take},
	{"WriteBuffer", true, (*trial).takeAndWrite},
	{"SetHandler", true, (*trial).setHandler},
	{"Detach", false, (*trial).detach},
	{"Close", false, (*trial).close},
	{"Abort", false, (*trial).abort},
	{"AbortWith", false, (*trial).abortWith},
	{"CloseWrite", false, (*trial).closeWrite},
	{"PauseRead", false, (*trial).pause},
	{"ResumeRead", false, (*trial).resume},
	{"WriteNotify", false, (*trial).writeNotify},
	{"Write", false, (*trial).write},
	{"Post", false, (*trial).post},
	{"After", false, (*trial).after},
}

// block is how many bytes are taken at once, and written.
const block = 4 << 10

// written is a write.
type written struct {
	bytes    []byte
	err      error
	notified atomic.Int32 // calls of its function
	told     error        // what that was called with
	promise  bool         // it has such a function
}

// takeBlock takes the next block out of the stream, if there is one, and says where it is in what the peer sent.
func (x *trial) takeBlock(s *session.Stream) (*session.Buffer, []byte) {
	b, err := s.Take(block)
	if err != nil {
		return nil, nil
	}
	return b, x.consumed(b.Bytes())
}

func (x *trial) take(s *session.Stream) {
	if b, want := x.takeBlock(s); b != nil {
		x.stage.all.add(taken{x.String(), b, want})
	}
}

func (x *trial) takeAndWrite(s *session.Stream) {
	b, want := x.takeBlock(s)
	if b == nil {
		return
	}
	w := &written{bytes: want}
	x.wrote(w, s.WriteBuffer(b))
	if w.err != nil {
		b.Release()
	}
}

func (x *trial) write(s *session.Stream) {
	w := &written{bytes: x.nextBlock()}
	_, err := s.Write(w.bytes)
	x.wrote(w, err)
}

func (x *trial) writeNotify(s *session.Stream) {
	w := &written{bytes: x.nextBlock(), promise: true}
	x.wrote(w, s.WriteNotify(w.bytes, func(err error) {
		w.told = err
		if w.notified.Add(1) > 1 {
			x.errorf("the function of WriteNotify was called again, with %v", err)
		}
	}))
}

// wrote enters a write.
func (x *trial) wrote(w *written, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w.err = err
	x.writes = append(x.writes, w)
	x.expect("a write", err, x.m.open() && !x.m.fin)
}

func (x *trial) closeWrite(s *session.Stream) {
	err := s.CloseWrite()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.expect("CloseWrite", err, x.m.open())
	x.m.fin = true
}

func (x *trial) close(s *session.Stream) {
	if err := s.Close(); err != nil {
		x.errorf("Close: %v", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.m.closed = x.m.closed || x.m.open() || x.at == across
}

func (x *trial) abort(s *session.Stream) {
	x.aborts(s.Abort(), net.ErrClosed)
}

// errCause is the cause that is given to AbortWith.
var errCause = errors.New("the cause")

func (x *trial) abortWith(s *session.Stream) {
	if a, ok := any(s).(interface{ AbortWith(error) error }); ok {
		x.aborts(a.AbortWith(errCause), errCause)
	}
}

func (x *trial) aborts(err, cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil && !(errors.Is(err, net.ErrClosed) && (x.mayEnd() || !x.m.open() && !x.m.closed)) {
		x.errorLocked("Abort: %v", err)
	}
	if x.m.open() || x.m.closed && !x.m.over || x.at == across { // there, OnClose may have been called meanwhile
		x.m.causes = append(x.m.causes, cause)
	}
}

func (x *trial) pause(s *session.Stream) {
	s.PauseRead()
	x.mu.Lock()
	x.m.paused = x.at != across
	x.mu.Unlock()
}

func (x *trial) resume(s *session.Stream) {
	x.mu.Lock()
	x.m.paused = false
	x.mu.Unlock()
	s.ResumeRead()
}

func (x *trial) setHandler(s *session.Stream) {
	x.mu.Lock()
	x.generation++
	next := &trialHandler{x: x, generation: x.generation}
	x.mu.Unlock()
	s.SetHandler(next)
}

func (x *trial) post(s *session.Stream) {
	err := s.Post(func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.posted--
		if x.m.over {
			x.errorLocked("a posted function runs after OnClose")
		}
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.posted++
	}
	x.expect("Post", err, x.m.open())
}

func (x *trial) after(s *session.Stream) {
	x.mu.Lock()
	x.timers++
	x.mu.Unlock()
	s.After(0, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.timers--
		if x.m.over || x.timers < 0 {
			x.errorLocked("a timer runs after OnClose, or again")
		}
	})
}

func (x *trial) detach(s *session.Stream) {
	restore := func() {}
	if x.full {
		restore = noFreeFile(x.e)
	}
	c, err := s.Detach()
	restore()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil && x.full:
		x.errorLocked("Detach without a free descriptor: nil")
	case err == nil && x.conn != nil, err == nil && c == nil:
		x.errorLocked("Detach again: %v, nil", c)
	case errors.Is(err, syscall.EMFILE) && x.full: // the stream may have ended since
	case err != nil && x.full && x.m.open():
		if !((x.mayEnd() || x.at == across) && errors.Is(err, net.ErrClosed)) {
			x.errorLocked("Detach without a free descriptor: %v", err)
		}
	default:
		x.expect("Detach", err, x.m.open())
	}
	if err == nil {
		x.conn, x.m.detached = c, true
	}
}

// expect checks the result of an operation: nil exactly if the stream is still open, else net.ErrClosed. Operations on
// several goroutines are in no order. mu is held.
func (x *trial) expect(what string, err error, open bool) {
	switch {
	case err != nil && !errors.Is(err, net.ErrClosed):
		x.errorLocked("%s: %v", what, err)
	case x.at == across:
	case err == nil && !open && !x.m.lenient(what):
		x.errorLocked("%s: nil, on a stream that has ended (%+v)", what, x.m)
	case err != nil && open && !x.mayEnd():
		x.errorLocked("%s: %v, on a stream that is open (%+v)", what, err, x.m)
	}
}
