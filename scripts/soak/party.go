//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// party is a client whose end of the connection is a Stream.
type party struct {
	*end
	k             *client
	p             place
	h             header
	at            int // bytes verified
	until         int // position at which it leaves, or the end
	leave         leaving
	closed        chan error
	halfway, gone chan struct{} // closed when the first part has come back, and at the end
	room          chan struct{} // OnWritable was called
	conn          chan net.Conn // from Detach
	bad           error

	written atomic.Int64 // bytes of the key that were written
}

// leaving is how a party ends its connection, or goes on with it.
type leaving uint8

const (
	byClose leaving = iota
	byHalfClose
	byAbort
	byDetach
	leavings
)

// stream has bytes sent back, on a stream that is dialled or adopted.
func (k *client) stream() error {
	h, p := k.answering()
	if p.network == "" {
		return errNoPlace
	}
	y := &party{end: k.l.newEnd("dialled"), k: k, p: p, h: h, until: h.total(), leave: leaving(k.r.IntN(int(leavings))),
		closed: make(chan error, 1), halfway: make(chan struct{}), gone: make(chan struct{}), room: make(chan struct{}, 1), conn: make(chan net.Conn, 1)}
	if p.kind == "tls" {
		y.secret.Store(true)
		y.leave = min(y.leave, byAbort)
	}
	if y.leave >= byAbort {
		y.until = 1 + k.r.IntN(h.total())
	}
	y.data, y.eof = y.onData, y.onEOF
	y.writable = func(*tandem.Stream) {
		select {
		case y.room <- struct{}{}:
		default:
		}
	}
	y.over = func(_ *tandem.Stream, err error) {
		close(y.gone)
		y.closed <- err
	}
	s, err := y.begin()
	if s == nil {
		return err
	}
	if err == nil && p.kind == "tls" && y.kind == "adopted" {
		err = y.startTLS(s)
	}
	if err == nil {
		err = y.send(s)
	}
	if err != nil {
		y.aborted.Store(true)
		_ = s.Abort()
	}
	return y.result(err)
}

// begin makes the stream in one of the ways.
func (y *party) begin() (*tandem.Stream, error) {
	way := y.k.r.IntN(5)
	if y.l.driven && way == 0 {
		way = 1
	}
	switch way {
	case 0:
		y.k.doing += ", Dial"
		y.dialled = false // its errors are Dial's
		s, err := y.l.t.Dial(context.Background(), y.p.network, y.p.address, y.end, y.options())
		return s, err
	case 1, 2:
		y.k.doing += ", Connect"
		y.dialled = true
		s, err := y.l.t.Connect(y.p.network, y.p.address, y.end, y.options())
		if err != nil {
			y.dialled = false
			return nil, err
		}
		return s, nil
	}
	y.kind = "adopted"
	y.k.doing += ", Adopt"
	c, err := y.k.dial(y.p)
	if err != nil {
		return nil, err
	}
	raw := syscall.Conn(c.(syscall.Conn))
	if way == 4 {
		f, err := c.(interface{ File() (*os.File, error) }).File()
		_ = c.Close()
		if err != nil {
			return nil, err
		}
		raw = f
	}
	s, err := y.l.t.Adopt(raw, y.end)
	if err != nil {
		_ = raw.(interface{ Close() error }).Close()
		return nil, err
	}
	return s, nil
}

// options draws those of a dial.
func (y *party) options() *tandem.DialOptions {
	o := &tandem.DialOptions{StreamOptions: streamOptions(y.k.r)}
	if y.p.kind == "tls" {
		o.TLS = clientTLS(y.k.r)
		y.l.count(done, "TLS connections of dialled streams")
	}
	if size := y.k.window(); size > 0 {
		o.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size) })
		}
	}
	return o
}

// send writes the header, the first part, and the rest when the first part has come back.
func (y *party) send(s *tandem.Stream) error {
	if _, err := s.Write(y.h.append(nil)); err != nil {
		return err
	}
	if err := y.write(s, 0, int(y.h.first)); err != nil {
		return err
	}
	select {
	case <-y.halfway:
	case <-y.gone:
	}
	return y.write(s, int(y.h.first), y.h.total())
}

// write writes in all ways, and waits for room, and disturbs the stream meanwhile.
func (y *party) write(s *tandem.Stream, from, to int) error {
	for at := from; at < to; {
		n := min(to-at, 1+y.k.r.IntN(20_000))
		p := pattern(y.h.key, at, at+n)
		var err error
		switch y.k.r.IntN(4) {
		case 0:
			_, err = s.Writev(net.Buffers{p[:n/3], p[n/3:]})
		case 1:
			err = y.notify(s, p, func(error) {})
		default:
			_, err = s.Write(p)
		}
		if errors.Is(err, net.ErrClosed) {
			return nil // it has left, or failed: OnClose says why
		}
		if err != nil {
			return err
		}
		at += n
		y.written.Store(int64(at))
		y.disturb(s)
		for !s.Writable() && y.end.closed.Load() == 0 {
			select {
			case <-y.room:
			case <-time.After(20 * time.Millisecond): // OnWritable comes once, and may have come before
			}
		}
	}
	return nil
}

// disturb calls what changes no byte.
func (y *party) disturb(s *tandem.Stream) {
	switch y.k.r.IntN(10) {
	case 0:
		s.PauseRead()
		time.Sleep(time.Duration(y.k.r.IntN(2000)) * time.Microsecond)
		s.ResumeRead()
		y.l.count(done, "pauses of reading")
	case 1:
		_ = s.Flush() // net.ErrClosed if it has ended
	case 2:
		y.post(s, func() {})
	case 3:
		y.after(s, time.Duration(y.k.r.IntN(2000))*time.Microsecond, func() {})
	case 4:
		if q := s.Queued(); q < 0 {
			y.l.failf("Queued is %d", q)
		}
	}
}

func (y *party) onData(s *tandem.Stream) {
	if y.bad != nil || y.left(s) {
		return
	}
	for s.Buffered() > 0 {
		n := min(s.Buffered(), y.until-y.at)
		if n == 0 && y.at == y.until {
			break // what follows is too much, or for the Conn
		}
		p, _ := s.Next(n)
		if y.bad = verify(p, y.h.key, y.at); y.bad != nil {
			y.aborted.Store(true)
			_ = s.Abort()
			return
		}
		if first := int(y.h.first); y.at < first && y.at+n >= first {
			close(y.halfway)
		}
		y.at += n
		y.k.verified.Add(uint64(n))
	}
	y.left(s)
}

// left ends the connection when all that is expected has come, and reports whether it has.
func (y *party) left(s *tandem.Stream) bool {
	if y.at < y.until {
		return false
	}
	switch y.leave {
	case byClose:
		_ = s.Close()
	case byHalfClose:
		_ = s.CloseWrite() // the second time it does nothing
		if n := s.Buffered(); n > 0 {
			y.bad = &wrongBytes{text: fmt.Sprintf("%d bytes behind the last one", n)}
		}
	case byAbort:
		y.end.abort(y.l.chance(), s)
	case byDetach:
		y.detach(s)
	}
	return true
}

func (y *party) detach(s *tandem.Stream) {
	c, err := s.Detach()
	switch {
	case err == nil:
		y.l.count(done, "streams detached")
		y.conn <- c
	case mayLack(err) && y.l.shortages.Load() > 0:
		y.leave = byAbort
		y.left(s)
	case err != net.ErrClosed:
		y.bad = fmt.Errorf("detach: %w", err)
		y.aborted.Store(true)
		_ = s.Abort()
	}
}

func (y *party) onEOF(*tandem.Stream) {
	if y.at < y.until && y.bad == nil {
		y.bad = fmt.Errorf("OnEOF after %d of %d bytes", y.at, y.until)
	}
}

// result waits for the end.
func (y *party) result(sent error) error {
	err := <-y.closed
	y.k.doing += fmt.Sprintf(", %d of %d bytes, left by %d", y.at, y.h.total(), y.leave)
	select {
	case c := <-y.conn:
		if err == nil {
			err = y.goOn(c.(conn))
		}
		_ = c.Close()
	default:
	}
	if y.aborted.Load() && (err == net.ErrClosed || errors.Is(err, errCause)) {
		err = nil
	}
	if y.bad == nil && err == nil && sent == nil && y.leave < byAbort && y.at < y.until {
		err = fmt.Errorf("OnClose(nil) after %d of %d bytes", y.at, y.until)
	}
	return errors.Join(y.bad, sent, err)
}

// goOn reads the rest on a net.Conn.
func (y *party) goOn(c conn) error {
	if y.k.r.IntN(4) == 0 {
		return nil // it is closed at once
	}
	written := int(y.written.Load())
	if err := y.k.read(c, y.h.key, y.at, written); err != nil {
		return fmt.Errorf("on the Conn of Detach: %w", err)
	}
	for _, to := range []int{int(y.h.first), y.h.total()} { // the server may count on it that nothing comes between
		if written >= to {
			continue
		}
		if err := y.k.converse(c, y.h, written, to); err != nil {
			return fmt.Errorf("on the Conn of Detach: %w", err)
		}
		written = to
	}
	if y.k.r.IntN(2) == 0 {
		return nil
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return y.k.toEnd(c)
}

// cancelled dials with a context that ends soon.
func (k *client) cancelled() error {
	p := k.place("half", "plain", "passing", "tls")
	if p.network == "" || k.l.driven {
		return errNoPlace
	}
	e := k.l.newEnd("dialled, with a context that ends")
	over := make(chan struct{})
	e.over = func(*tandem.Stream, error) { close(over) }
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(k.r.IntN(800))*time.Microsecond)
	defer cancel()
	k.count(faults, "contexts that end during a dial")
	o := &tandem.DialOptions{}
	if p.kind == "tls" {
		e.secret.Store(true)
		o.TLS = clientTLS(k.r)
	}
	s, err := k.l.t.Dial(ctx, p.network, p.address, e, o)
	if err != nil {
		if isContext(err) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		return err
	}
	e.abort(k.r, s)
	<-over
	return nil
}
