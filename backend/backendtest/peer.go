package backendtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Peer is the other end of a stream under test, used as a net.Conn is: its methods wait, but at most for patience.
type Peer interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close() error
	Reset() error // with TCP, the other end sees ECONNRESET
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// plainPeer is a net.Conn.
type plainPeer struct{ halfCloser }

// Read is the Conn's. It waits for the next byte for at most patience.
func (p plainPeer) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	n, err := p.halfCloser.Read(b)
	return n, overdue(err, "the peer's read got no byte")
}

// Write is the Conn's.
func (p plainPeer) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(patience))
	n, err := p.halfCloser.Write(b)
	return n, overdue(err, "the peer's write did not end")
}

// overdue says what did not come in time, if err is that.
func overdue(err error, what string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s within %v: %w", what, patience, err)
	}
	return err
}

func (p plainPeer) Reset() error {
	var below any = p.halfCloser
	if c, ok := below.(*tls.Conn); ok {
		below = c.NetConn()
	}
	if c, ok := below.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
		return c.Close()
	}
	return p.Close()
}

// streamPeer is a stream of another Transport. It takes bytes from the kernel only while somebody reads, and then also
// if it cannot write, as a net.Conn does.
type streamPeer struct {
	session.BaseHandler
	stream *session.Stream
	mu     sync.Mutex // guards what follows
	cond   *sync.Cond
	got    []byte
	err    error
	closed bool
}

func dialPeer(t *session.Engine, a net.Addr, options ...backend.SocketOption) (*streamPeer, error) {
	p := &streamPeer{}
	p.cond = sync.NewCond(&p.mu)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o := session.DialOptions{Socket: options, StreamOptions: session.StreamOptions{AllowHalfClose: true, ReadWhileBlocked: true}}
	s, err := t.Dial(ctx, a.Network(), a.String(), p, &o)
	p.stream = s
	return p, err
}

func (p *streamPeer) OnOpen(s *session.Stream) { s.PauseRead() }

func (p *streamPeer) OnData(s *session.Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, _ := s.Next(-1)
	p.got = append(p.got, b...)
	s.PauseRead()
	p.cond.Broadcast()
}

func (p *streamPeer) OnEOF(*session.Stream) { p.end(io.EOF) }

func (p *streamPeer) OnWritable(*session.Stream) {
	p.mu.Lock()
	p.cond.Broadcast()
	p.mu.Unlock()
}

func (p *streamPeer) OnClose(s *session.Stream, err error) {
	p.mu.Lock()
	b, _ := s.Next(-1)
	p.got = append(p.got, b...)
	p.closed = true
	p.mu.Unlock()
	if err == nil {
		err = net.ErrClosed
	}
	p.end(err)
}

func (p *streamPeer) end(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.cond.Broadcast()
	p.mu.Unlock()
}

func (p *streamPeer) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var overtime time.Time
	for len(p.got) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		p.stream.ResumeRead()
		if !p.wait(&overtime) {
			return 0, overdue(os.ErrDeadlineExceeded, "the peer's read got no byte")
		}
	}
	n := copy(b, p.got)
	p.got = p.got[n:]
	return n, nil
}

// wait waits for a change, until overtime, which the first wait sets. It reports whether it is not that late. mu is held.
func (p *streamPeer) wait(overtime *time.Time) bool {
	if overtime.IsZero() {
		*overtime = time.Now().Add(patience)
	}
	left := time.Until(*overtime)
	if left <= 0 {
		return false
	}
	alarm := time.AfterFunc(left, func() {
		p.mu.Lock()
		p.cond.Broadcast()
		p.mu.Unlock()
	})
	defer alarm.Stop()
	p.cond.Wait()
	return true
}

// Write waits for room below HighWater before each piece, so that it holds up as a net.Conn does.
func (p *streamPeer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var overtime time.Time
	for done := 0; ; {
		for !p.stream.Writable() && !p.closed {
			if !p.wait(&overtime) {
				return done, overdue(os.ErrDeadlineExceeded, "the peer's write did not end")
			}
		}
		n, err := p.stream.Write(b[done:min(len(b), done+64<<10)])
		if done += n; err != nil || done == len(b) {
			return done, err
		}
	}
}

func (p *streamPeer) CloseWrite() error { return p.stream.CloseWrite() }
func (p *streamPeer) Close() error      { return p.stream.Close() }
func (p *streamPeer) Reset() error      { return p.stream.Abort() }
