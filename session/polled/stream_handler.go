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

// link is the Handler of a session's stream. It runs on the loop, and shares what follows with the session's owner.
type link struct {
	mu     sync.Mutex // guards all
	status Status
	in     []byte // has come and was not read: memory of the loop's pool, or nil
	room   int    // bytes that in may hold
	full   bool   // the stream was paused, because in is full
	eof    bool   // the peer has finished
	err    error  // why the stream has ended
	events uint64 // callbacks

	waits func() // takes the session out of an Acceptor's queue, or nil; set before the first callback
}

// OnOpen implements Handler.
func (l *link) OnOpen(*session.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	l.status = Established
}

// OnData implements Handler.
func (l *link) OnData(s *session.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	l.receive(s, l.room-len(l.in))
	if l.full = len(l.in) >= l.room; l.full {
		s.PauseRead()
	}
}

// receive takes up to most bytes from the stream.
func (l *link) receive(s *session.Stream, most int) {
	p, _ := s.Next(min(s.Buffered(), max(most, 0)))
	if old := l.in; cap(old)-len(old) < len(p) {
		l.in = append(session.Memory(s).Get(max(len(old)+len(p), 2*len(old)))[:0], old...)
		if old != nil {
			session.Memory(s).Put(old)
		}
	}
	l.in = append(l.in, p...)
}

// OnEOF implements Handler.
func (l *link) OnEOF(*session.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	l.eof = true
}

// OnWritable implements Handler.
func (l *link) OnWritable(*session.Stream) {}

// OnClose implements Handler. It takes what was received before the end.
func (l *link) OnClose(s *session.Stream, err error) {
	if l.waits != nil {
		l.waits()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	if n := s.Buffered(); n > 0 {
		l.receive(s, n)
	}
	l.status, l.err = Terminated, err
	if err == nil {
		l.err = net.ErrClosed
	}
}

// detached gives what has come and was not read to the Conn that the stream is handed to.
func (l *link) detached() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.in
	l.in, l.full = nil, false
	return p
}

// state returns status and error; those of an end only when all that came has been read, or at once.
func (l *link) state(atOnce bool) (Status, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == Terminated && len(l.in) > 0 && !atOnce {
		return Established, nil
	}
	return l.status, l.err
}

// setRoom bounds what is handed over before it is read.
func (l *link) setRoom(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room = bytes
}

// happened counts what has happened, for a comparison with later.
func (l *link) happened() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events
}

// take returns what has come and its memory, whether the stream must be resumed, and why no more will come.
func (l *link) take() (p []byte, resume bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, resume = l.in, l.full
	l.in, l.full = nil, false
	switch {
	case len(p) > 0:
	case l.eof:
		err = io.EOF
	default:
		err = l.err
	}
	return p, resume, err
}
