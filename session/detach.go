package session

import (
	"net"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Detach takes the socket out of the stream and returns it as a net.Conn. No byte is lost: what was received and not
// read is read from the Conn first, and what is queued is sent before anything that is written to it, also if the Conn
// is closed at once. The stream ends with OnClose(nil); functions given to WriteNotify are told what became of their
// bytes. Socket options stay as they are. Any goroutine; it does not block.
//
// The Conn is live when the loop's turn has ended: its methods wait for that, within their deadlines. In callbacks of
// the Transport, which cannot wait, Read returns an error until then, and Write keeps its bytes.
//
// The Conn of a stream with TLS goes on with it, and has ConnectionState in place of SyscallConn, so that Adopt does not
// take it. A deadline that ends one of its Writes in the middle ends writing for good, as with crypto/tls. Its Close says
// close_notify, unless a Write is running.
//
// The Conn of a stream with ReceiveFiles has a method TakeFiles() []*os.File, which returns the files that have come and were
// not taken. Its Close closes the others. What the Conn receives itself comes without files, unless the program receives from
// the socket below. Files that are queued only a stream can send: while there are some, the error of Detach is syscall.EBUSY.
//
// Before OnOpen, and in the handshake of StartTLS, the error is syscall.ENOTCONN, after the end net.ErrClosed. If there is
// no descriptor to spare it is syscall.EMFILE or syscall.ENFILE, and the stream lives on. So does one of a Relay, for which it
// is syscall.EBUSY. All but net.ErrClosed are *net.OpErrors.
func (s *Stream) Detach() (net.Conn, error) {
	return DetachWith(s, func() (unread, unsent []byte) { return s.heldAbove(), nil })
}

// heldAbove is what the handler has read and its user has not. Loop only.
func (s *Stream) heldAbove() []byte {
	if h, ok := s.handler.(Holder); ok {
		return h.Unread(s)
	}
	return nil
}

// DetachWith is Stream.Detach for a layer that has read bytes which its user has not, or has bytes that it has not
// written yet. It calls handOver once, on the loop, right before the Conn is live, when no more is delivered: unread is
// read from the Conn first, and unsent is sent behind what the stream has queued. Both slices are the Conn's from then on.
// A Handler that is a [Holder] is not asked. handOver must not block, nor call methods of the stream. If it panics, the
// bytes of both directions are lost, and the Conn fails with a *PanicError. If DetachWith returns an error, handOver is
// not called.
func DetachWith(s *Stream, handOver func() (unread, unsent []byte)) (net.Conn, error) {
	if handOver == nil {
		return nil, errNoFunction
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life.phase == dialing:
		return nil, s.opErrorLocked("detach", syscall.ENOTCONN)
	case s.life.phase != open:
		return nil, net.ErrClosed
	case s.tls != nil && !s.tls.open:
		return nil, s.opErrorLocked("detach", errNoHandshake)
	case s.tx.files != nil:
		return nil, s.opErrorLocked("detach", errFilesQueued)
	case s.relayed:
		return nil, s.opErrorLocked("detach", errRelayed)
	}
	conn, err := s.loop.Sockets.HandOver(s.fd)
	if err != nil {
		return nil, s.opErrorLocked("detach", err)
	}
	off := newDetached(conn, s)
	off.layer = handOver
	s.life.needs().handOff = off
	s.rx.flow.Or(flowDetached) // what still comes is kept, and not delivered
	s.life.move(detaching)
	s.scheduleLocked(s.loop.OnLoop())
	if t := s.tls; t != nil {
		t.secured = &secured{below: off, tls: t, shut: s.tx.finWant}
		return t.secured, nil
	}
	return off, nil
}

// handOver gives the connection to the Conn that Detach returned. The driver has let go of it.
func (s *Stream) handOver() {
	unread, unsent, whole := s.callLayer()
	s.rx.in.endLoan()
	if whole {
		unread = append(unread, s.rx.in.bytes()...)
		s.loop.Count[backend.BytesDelivered] += uint64(s.rx.in.len())
	} else { // what is behind bytes that are lost is lost, too
		s.loop.Count[backend.BytesDropped] += uint64(s.rx.in.len())
	}
	s.rx.in.consume(s.rx.in.len())
	shut := false
	if s.tls != nil {
		s.loop.Count[backend.BytesDelivered] += uint64(s.tls.in.len())
		unread, shut = s.tls.handOver(unread, unsent)
		unsent = nil
	}
	s.tellDue()
	s.mu.Lock()
	rest := s.tx.out.copyOut()
	fin := (s.tx.finWant || shut) && !s.tx.finSent
	waits := !s.tx.notify.empty()
	s.tx.sending = false
	s.tx.out.drop()
	s.emptiedLocked(true)
	s.mu.Unlock()
	report := func(int, error) {}
	if waits {
		report = func(n int, err error) { _ = s.loop.Post(backend.TaskFunc(func() { s.restSent(n, err) })) }
	}
	s.life.handOff().giveFiles(s.takeFiles())
	s.life.handOff().begin(unread, append(rest, unsent...), fin, report)
	if !waits {
		s.finish()
	} else if s.loop.aborting {
		s.restSent(0, errNotTold)
	}
}

// restSent follows what the Conn has sent of the stream's queue, n bytes, if somebody is to be told.
func (s *Stream) restSent(n int, err error) {
	s.mu.Lock()
	if s.life.phase == closed {
		s.mu.Unlock()
		return
	}
	s.tx.sent = min(s.tx.sent+uint64(n), s.tx.accepted) // the Conn may have sent bytes of its own
	s.mu.Unlock()
	s.tellDue()
	s.tellLost(err)
	s.finish()
}

// copyOut returns a copy of what is queued.
func (q *queue) copyOut() []byte {
	if q.len() == 0 {
		return nil
	}
	p := make([]byte, 0, q.n)
	skip := q.skip
	for _, s := range q.segs[q.head:] {
		p = append(p, s.bytes[skip:]...)
		skip = 0
	}
	return p
}
