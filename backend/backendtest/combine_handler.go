package backendtest

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// trialHandler is the handler of a trial's stream, or of a listener whose streams are those of trials.
type trialHandler struct {
	x          *trial
	stage      *stage // in place of x
	generation int
}

func (h *trialHandler) of(s *session.Stream) *trial {
	if h.x != nil {
		return h.x
	}
	if x, ok := s.Value().(*trial); ok {
		return x
	}
	x := h.stage.current.Load()
	s.SetValue(x)
	return x
}

// enter checks that a callback may begin now. leave follows.
func (h *trialHandler) enter(s *session.Stream, callback string) *trial {
	x := h.of(s)
	x.mu.Lock()
	defer x.mu.Unlock()
	onLoop := x.at != across
	switch first := x.s == nil; {
	case x.callback != "":
		x.errorLocked("%s during %s", callback, x.callback)
	case x.m.over:
		x.errorLocked("%s after OnClose", callback)
	case first != (callback == "OnOpen"):
		x.errorLocked("%s is out of order", callback)
	case h.generation != x.generation && onLoop:
		x.errorLocked("%s of a handler that was replaced", callback)
	case callback == "OnClose":
	case onLoop && (x.m.closed || x.m.detached || len(x.m.causes) > 0):
		x.errorLocked("%s after the stream was ended", callback)
	case x.m.paused && (callback == "OnData" || callback == "OnEOF"):
		x.errorLocked("%s during a pause", callback)
	case callback == "OnEOF" && x.eof:
		x.errorLocked("OnEOF twice")
	}
	if x.s != s { // others read it without the lock once it is known
		x.s = s
	}
	x.callback = callback
	x.eof = x.eof || callback == "OnEOF"
	return x
}

func (x *trial) leave() {
	x.mu.Lock()
	x.callback = ""
	x.mu.Unlock()
}

// OnOpen implements session.Handler.
func (h *trialHandler) OnOpen(s *session.Stream) {
	x := h.enter(s, "OnOpen")
	defer close(x.opened)
	defer x.leave()
	if x.peer == fullQueue || x.at == inWritable {
		if err := s.SetSocketOption(backend.SendBuffer(peersWindow)); err != nil {
			x.errorf("%v", err)
		}
	}
	if x.at == inOpen {
		x.operate(s)
	}
}

// OnData implements session.Handler. It leaves the bytes unread until the trial finishes.
func (h *trialHandler) OnData(s *session.Stream) {
	x := h.enter(s, "OnData")
	defer x.leave()
	if x.at == inData && s.Buffered() >= 2*block {
		x.operate(s)
	}
	x.mu.Lock()
	finishing := x.finishing
	x.mu.Unlock()
	if finishing {
		x.collect(s)
	}
}

// OnEOF implements session.Handler.
func (h *trialHandler) OnEOF(s *session.Stream) {
	x := h.enter(s, "OnEOF")
	defer x.leave()
	if x.at == inEOF {
		x.operate(s)
	}
	x.collect(s)
}

// OnWritable implements session.Handler.
func (h *trialHandler) OnWritable(s *session.Stream) {
	x := h.enter(s, "OnWritable")
	defer x.leave()
	if x.at == inWritable {
		x.operate(s)
	}
}

// OnClose implements session.Handler.
func (h *trialHandler) OnClose(s *session.Stream, err error) {
	x := h.enter(s, "OnClose")
	x.mu.Lock()
	x.m.over, x.err = true, err
	x.promisesKept()
	x.mu.Unlock()
	if x.at == inClose {
		x.operate(s)
	}
	x.collect(s)
	x.leave()
	close(x.closed)
}

// collect reads all there is.
func (x *trial) collect(s *session.Stream) {
	p, _ := s.Next(-1)
	x.consumed(p)
}

// consumed compares what was read with what the peer sent, and returns the latter.
func (x *trial) consumed(p []byte) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := min(x.read, len(x.in))
	want := x.in[at:min(at+len(p), len(x.in))]
	if string(p) != string(want) {
		x.errorLocked("%d bytes were read behind %d, and are not those that the peer sent there", len(p), x.read)
	}
	x.read += len(p)
	return want
}
