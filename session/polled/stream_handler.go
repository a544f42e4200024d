package polled

import (
	"io"
	"net"
	"sync"

	"github.com/tandem-io/tandem/session"
)

// A loop hands so many bytes to a session before the session has read them; fewer to one that nobody has accepted.
const (
	handover        = 256 << 10
	handoverUnasked = 16 << 10
)

// streamHandler is the Handler of a session's stream. It runs on the loop, and shares what follows with the session's owner.
type streamHandler struct {
	mu     sync.Mutex // guards all
	status Status
	in     []byte // has come and was not read: memory of the loop's pool, or nil
	room   int    // bytes that in may hold
	full   bool   // the stream was paused, because in is full
	eof    bool   // the peer has finished
	err    error  // why the stream has ended
	events uint64 // callbacks

	waits func() // takes the session out of an Listener's queue, or nil; set before the first callback
}

// OnOpen implements Handler.
func (h *streamHandler) OnOpen(*session.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events++
	h.status = Established
}

// OnData implements Handler.
func (h *streamHandler) OnData(s *session.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events++
	h.receive(s, h.room-len(h.in))
	if h.full = len(h.in) >= h.room; h.full {
		s.PauseRead()
	}
}

// receive takes up to most bytes from the stream.
func (h *streamHandler) receive(s *session.Stream, most int) {
	p, _ := s.Next(min(s.Buffered(), max(most, 0)))
	if old := h.in; cap(old)-len(old) < len(p) {
		h.in = append(session.Memory(s).Get(max(len(old)+len(p), 2*len(old)))[:0], old...)
		if old != nil {
			session.Memory(s).Put(old)
		}
	}
	h.in = append(h.in, p...)
}

// OnEOF implements Handler.
func (h *streamHandler) OnEOF(*session.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events++
	h.eof = true
}

// OnWritable implements Handler.
func (h *streamHandler) OnWritable(*session.Stream) {}

// OnClose implements Handler. It takes what was received before the end.
func (h *streamHandler) OnClose(s *session.Stream, err error) {
	if h.waits != nil {
		h.waits()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events++
	if n := s.Buffered(); n > 0 {
		h.receive(s, n)
	}
	h.status, h.err = Terminated, err
	if err == nil {
		h.err = net.ErrClosed
	}
}

// detached gives what has come and was not read to the Conn that the stream is handed to.
func (h *streamHandler) detached() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.in
	h.in, h.full = nil, false
	return p
}

// state returns status and error; those of an end only when all that came has been read, or at once.
func (h *streamHandler) state(atOnce bool) (Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status == Terminated && len(h.in) > 0 && !atOnce {
		return Established, nil
	}
	return h.status, h.err
}

// setRoom bounds what is handed over before it is read.
func (h *streamHandler) setRoom(bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room = bytes
}

// happened counts what has happened, for a comparison with later.
func (h *streamHandler) happened() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

// take returns what has come and its memory, whether the stream must be resumed, and why no more will come.
func (h *streamHandler) take() (p []byte, resume bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, resume = h.in, h.full
	h.in, h.full = nil, false
	switch {
	case len(p) > 0:
	case h.eof:
		err = io.EOF
	default:
		err = h.err
	}
	return p, resume, err
}
