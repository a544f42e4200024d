package session

import (
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// Detach takes the socket out of the stream and returns it as a net.Conn. No byte is lost: what was received and not
// read is read from the Conn first, and what is queued is sent before anything that is written to it. The stream ends
// with OnClose(nil). Any goroutine; on another than the loop's it waits for the loop.
func (s *Stream) Detach() (net.Conn, error) {
	if s.loop.Here() {
		return s.detach()
	}
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result, 1)
	err := s.loop.Post(backend.TaskFunc(func() {
		c, err := s.detach()
		done <- result{c, err}
	}))
	if err != nil {
		return nil, net.ErrClosed
	}
	r := <-done
	return r.c, r.err
}

func (s *Stream) detach() (net.Conn, error) {
	s.mu.Lock()
	p := s.phase
	s.mu.Unlock()
	if p != open || !s.opened {
		return nil, net.ErrClosed
	}
	s.flow.Or(flowPaused) // what still comes is kept, and not delivered
	s.in.endLoan()
	s.loop.Driver.Quiesce(&s.sock)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiving = false
	c := &detached{unread: append([]byte(nil), s.in.bytes()...)}
	unsent := s.out.copyOut()
	fin := s.finWant && !s.finSent
	s.loop.Count[backend.BytesDelivered] += uint64(len(c.unread))
	s.in.consume(len(c.unread))

	file := os.NewFile(uintptr(s.fd), "detached")
	conn, err := net.FileConn(file) // duplicates the descriptor
	_ = file.Close()
	s.fd, s.sock.FD = -1, -1
	s.sending = false
	s.out.drop()
	s.flow.Or(flowShut)
	s.phase = ending
	s.mark()
	if err != nil {
		s.cause = fmt.Errorf("tandem: detach: %w", err)
		return nil, s.cause
	}
	c.Conn = conn
	if len(unsent) > 0 || fin {
		c.sent.Add(1)
		go c.sendRest(unsent, fin)
	} else if len(c.unread) == 0 {
		return conn, nil
	}
	return c, nil
}

// copyOut returns a copy of what is queued.
func (q *queue) copyOut() []byte {
	if q.n == 0 {
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

// detached is a net.Conn with bytes in front of it, both ways.
type detached struct {
	net.Conn
	mu     sync.Mutex // guards unread
	unread []byte
	sent   sync.WaitGroup // for the bytes that the stream had not sent
}

// sendRest sends what the stream had queued. An error shows at the next write.
func (c *detached) sendRest(p []byte, fin bool) {
	defer c.sent.Done()
	_, _ = c.Conn.Write(p)
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok && fin {
		_ = w.CloseWrite()
	}
}

// Read reads what the stream had received first.
func (c *detached) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

// Write waits until what the stream had queued is sent.
func (c *detached) Write(p []byte) (int, error) {
	c.sent.Wait()
	return c.Conn.Write(p)
}

// CloseWrite shuts down the sending side, after what the stream had queued.
func (c *detached) CloseWrite() error {
	c.sent.Wait()
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// NetConn returns the Conn below, which is behind the bytes that are waiting here.
func (c *detached) NetConn() net.Conn { return c.Conn }
