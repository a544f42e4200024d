package polled

import (
	"io"
	"net"
	"sync"

	"github.com/tandem-io/tandem/session"
)

// A session buffers this many received bytes before its stream stops reading; fewer while nobody has accepted it.
const (
	mostUnread           = 256 << 10
	mostUnreadUnaccepted = 16 << 10
)

// streamHandler is the Handler of a session's stream. Its callbacks run on the loop, its other methods on the goroutine of
// the session's caller.
type streamHandler struct {
	mu     sync.Mutex // guards everything but ended
	status Status
	in     []byte // received and not yet read; memory of the loop's pool, or nil
	room   int    // bytes that in may hold
	full   bool   // whether the stream was paused because in is full
	eof    bool   // whether the peer has finished sending
	err    error  // why the stream has ended
	events uint64 // number of callbacks
	notice notice

	ended func() // removes the session from a Listener's queue, or nil; set before the first callback
}

// OnOpen implements Handler.
func (h *streamHandler) OnOpen(*session.Stream) {
	tell(&h.mu, func() func() {
		h.status = Established
		return h.event()
	})
}

// event counts a callback, which its caller has something to see of. mu is held.
func (h *streamHandler) event() (news func()) {
	h.events++
	return h.notice.news()
}

// OnData implements Handler.
func (h *streamHandler) OnData(s *session.Stream) {
	tell(&h.mu, func() func() {
		h.receive(s, h.room-len(h.in))
		if h.full = len(h.in) >= h.room; h.full {
			s.PauseRead()
		}
		return h.event()
	})
}

// receive moves up to most bytes from the stream to in. mu is held.
func (h *streamHandler) receive(s *session.Stream, most int) {
	p, _ := s.Next(min(s.Buffered(), max(most, 0)))
	if old := h.in; cap(old)-len(old) < len(p) {
		pool := session.Memory(s)
		h.in = append(pool.Get(max(len(old)+len(p), 2*len(old)))[:0], old...)
		if old != nil {
			pool.Put(old)
		}
	}
	h.in = append(h.in, p...)
}

// OnEOF implements Handler.
func (h *streamHandler) OnEOF(*session.Stream) {
	tell(&h.mu, func() func() {
		h.eof = true
		return h.event()
	})
}

// OnWritable implements Handler.
func (h *streamHandler) OnWritable(*session.Stream) { tell(&h.mu, h.event) }

// OnClose implements Handler. It keeps what was received before the end.
func (h *streamHandler) OnClose(s *session.Stream, err error) {
	if h.ended != nil {
		h.ended()
	}
	tell(&h.mu, func() func() {
		if n := s.Buffered(); n > 0 {
			h.receive(s, n)
		}
		h.status, h.err = Terminated, err
		if err == nil {
			h.err = net.ErrClosed
		}
		return h.event()
	})
}

// setNotify has fn called for what happens from now on. nil: nothing is.
func (h *streamHandler) setNotify(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notice.set(fn)
}

// look follows that the owner looks at all there is, from now on.
func (h *streamHandler) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notice.look()
}

// Unread implements session.Holder.
func (h *streamHandler) Unread(*session.Stream) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.in
	h.in, h.full = nil, false
	return p
}

// state returns the status and the error. The end of the stream shows only when everything received has been read, unless
// atOnce is set.
func (h *streamHandler) state(atOnce bool) (Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status == Terminated && len(h.in) > 0 && !atOnce {
		return Established, nil
	}
	return h.status, h.err
}

// setRoom limits how many bytes are buffered.
func (h *streamHandler) setRoom(bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room = bytes
}

// eventCount returns the number of callbacks so far.
func (h *streamHandler) eventCount() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

// take returns what was received, whether the stream has to be resumed, and why nothing more will be received.
func (h *streamHandler) take() (p []byte, resume bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notice.look()
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
