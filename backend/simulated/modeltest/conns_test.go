package modeltest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is a connection that was detached. A goroutine reads what comes, another does what it is told.
type conn struct {
	w    *world
	m    *stream
	c    net.Conn
	todo chan func()
	done sync.WaitGroup
	in   reader // goes on where the stream's ended; of the goroutine that reads

	mu     sync.Mutex // guards what follows
	err    error      // a rule that was broken
	end    error      // of reading
	closed bool
	fin    bool
	stop   bool // todo is closed
	failed bool // a write has failed
	late   bool // it has a deadline for writes
}

func (w *world) newConn(m *stream, c net.Conn, n int) {
	q := &conn{w: w, m: m, c: c, todo: make(chan func(), 1000)}
	w.conns = append(w.conns, q)
	if n%4 == 2 && w.current >= 0 { // in a callback, at once
		q.write(n)
	}
	q.done.Add(2)
	go q.readAll()
	go func() {
		defer q.done.Done()
		for fn := range q.todo {
			fn()
		}
	}()
}

func onConn(fn func(c *conn, n int)) func(w *world, o Op) {
	return func(w *world, o Op) {
		if len(w.conns) > 0 {
			fn(w.conns[o.On%len(w.conns)], o.N)
		}
	}
}

func (c *conn) do(fn func()) {
	if !c.stop && len(c.todo) < cap(c.todo) {
		c.todo <- fn
	}
}

func (c *conn) failf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("the Conn of %s: %w", c.m, fmt.Errorf(format, args...))
	}
}

// readAll reads until the end.
func (c *conn) readAll() {
	defer c.done.Done()
	p := make([]byte, 3000)
	for begun := false; ; {
		n, err := c.c.Read(p)
		if n > 0 {
			if !begun { // the stream is over
				begun, c.in = true, c.m.in
			}
			if bad := c.in.read(p[:n]); bad != nil {
				c.failf("%w", bad)
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosed() {
			_ = c.c.SetReadDeadline(time.Time{})
			continue
		}
		if err != nil {
			c.mu.Lock()
			c.end = err
			c.mu.Unlock()
			return
		}
	}
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// write writes the next bytes.
func (c *conn) write(n int) {
	c.mu.Lock()
	over := c.closed || c.fin || c.failed
	c.mu.Unlock()
	p := c.m.next(n)
	c.m.accepted.Add(int64(n))
	got, err := c.c.Write(p)
	c.m.accepted.Add(int64(got - n))
	switch {
	case err == nil && got != n:
		c.failf("Write took %d bytes of %d, and nil", got, n)
	case err == nil && over && n > 0 && !c.failed:
		c.failf("Write after the end: nil")
	case err != nil:
		c.mu.Lock()
		c.failed = true
		c.mu.Unlock()
	}
}

func (c *conn) close() {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	if err := c.c.Close(); (err != nil) != again {
		c.failf("Close: %w", errOrNil(err))
	}
}

func (c *conn) finish() {
	c.mu.Lock()
	c.fin = true
	c.mu.Unlock()
	_ = c.c.(interface{ CloseWrite() error }).CloseWrite()
}

// limit sets a deadline of reading, which ends the Read that waits.
func (c *conn) limit(n int) {
	_ = c.c.SetReadDeadline(c.w.k.Clock().Now().Add(time.Duration(n) * time.Microsecond))
}

// look calls what does not wait.
func (c *conn) look(n int) {
	if c.c.LocalAddr() == nil || c.c.RemoteAddr() == nil {
		c.w.failf("S30: an address of a Conn is nil")
	}
	now := c.w.k.Clock().Now()
	switch n % 4 {
	case 0:
		c.late = true
		_ = c.c.SetWriteDeadline(now.Add(time.Duration(n) * time.Microsecond))
	case 1:
		c.late = false
		_ = c.c.SetDeadline(time.Time{})
	case 2:
		_, _ = c.c.(interface {
			SyscallConn() (syscall.RawConn, error)
		}).SyscallConn()
	}
}

// check looks whether a rule was broken.
func (c *conn) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.w.failf("%w", c.err)
	}
}
