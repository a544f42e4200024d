package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Adopt makes a stream of a connected socket that comes from elsewhere, such as a *net.TCPConn, *net.UnixConn or
// *os.File. The socket is duplicated, and c is closed if it is an io.Closer: from then on it is the stream's. If Adopt
// returns an error, c is as it was.
//
// A Conn that Detach returned goes on as a stream with all that it holds: what is unread comes first, what is queued is
// sent first, and CloseWrite holds. So does a [Carrier]. Adopt waits until the Conn is live, within its read deadline;
// in a callback, which cannot wait, the error is then [backend.ErrOnLoop]. A Conn that has failed is not adopted, and
// the error says why: what came before that can still be read from it.
func (e *Engine) Adopt(c syscall.Conn, h Handler) (*Stream, error) {
	if err := checkHandler(h); err != nil {
		return nil, fmt.Errorf("tandem: adopt: %w", err)
	}
	if c == nil {
		return nil, errors.New("tandem: adopt: the connection is nil")
	}
	opts, err := e.defaults.Complete()
	if err != nil {
		return nil, err
	}
	s, err := e.adopt(c, h, opts)
	if err != nil {
		return nil, fmt.Errorf("tandem: adopt: %w", err)
	}
	return s, nil
}

func (e *Engine) adopt(c syscall.Conn, h Handler, opts *StreamOptions) (*Stream, error) {
	d, _ := c.(*detached)
	if d != nil {
		if err := d.awaitAdoption(e); err != nil {
			return nil, err
		}
	}
	fd, remote, err := e.sockets().Adopt(c)
	if err != nil {
		return nil, err
	}
	held := carriedBy(c)
	if d != nil {
		if held, err = d.surrender(); err != nil {
			e.sockets().CloseSocket(fd, backend.Closing{})
			return nil, err
		}
	}
	l := e.pick(remote)
	s := newStream(l, h, &origin{StreamOptions: *opts})
	s.adopting = true
	s.setAddresses(l.Sockets.LocalAddress(fd), remote) // now: a write may depend on what socket it is
	s.inherit(&held)
	if err := l.begin(func() { s.adopt(fd, remote, &held) }); err != nil {
		l.Sockets.CloseSocket(fd, backend.Closing{})
		l.unpick()
		if d != nil {
			d.takeBack(held)
		}
		return nil, err
	}
	if d != nil {
		_ = d.Conn.Close() // its Close has nothing left to send
	} else if closer, ok := c.(interface{ Close() error }); ok {
		_ = closer.Close()
	}
	return s, nil
}

// holdings are what a Conn of Detach has in front of its socket.
type holdings struct {
	unread, unsent []byte
	files          []*os.File       // that came with unread
	fin, finSent   bool             // CloseWrite was called; and nothing was left to be sent before
	report         func(int, error) // told what became of unsent
}

// inherit queues what a Conn had queued, in front of everything else. Nobody else knows the stream yet.
func (s *Stream) inherit(h *holdings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx.finWant, s.tx.finSent = h.fin, h.finSent
	if len(h.unsent) == 0 {
		return
	}
	total, report := uint64(len(h.unsent)), h.report
	s.tx.accepted = total
	s.pushLocked(false, h.unsent)
	if s.tx.out.len() > s.opts.HighWater {
		s.rx.flow.Or(flowBlocked)
	}
	s.tx.notify.push(notification{end: total, fn: func(err error) {
		report(int(min(s.Stats().BytesSent, total)), err)
	}})
}

// adopt is attach for a descriptor from elsewhere, which may come too late: a stream that has ended before waits for it.
// What a Conn has not read comes before what the descriptor has.
func (s *Stream) adopt(fd backend.Descriptor, remote backend.Address, h *holdings) {
	s.adopting = false
	s.mu.Lock()
	waits := s.life.phase == releasing
	s.mu.Unlock()
	if waits || s.loop.draining {
		s.closeUnopened(fd)
	}
	switch {
	case waits:
		s.needs().files = &inFiles{opened: h.files}
		s.loop.add(s) // as in attach
		s.finish()
		return
	case s.loop.draining:
		s.needs().files = &inFiles{opened: h.files}
		s.loop.add(s)
		s.failed(net.ErrClosed)
		return
	}
	if len(h.files) > 0 {
		s.needs().files = &inFiles{opened: h.files}
	}
	if n := len(h.unread); n > 0 {
		s.loop.Count[backend.BytesIn] += uint64(n)
		s.rx.received.Store(uint64(n))
		in := s.inbox()
		in.push(h.unread)
		in.unseen = n
	}
	s.attach(fd, remote)
	if h.finSent && s.opened {
		s.halfClosed()
	}
}
