//go:build linux

package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
)

// detaching echoes as a Stream up to the cut, then as a net.Conn.
func (v *server) detaching(s *tandem.Stream) {
	left := int(v.h.cut) - v.at
	if left > 0 {
		v.write(s, v.next(s, min(left, s.Buffered())))
	}
	if v.at < int(v.h.cut) {
		return
	}
	c, err := s.Detach()
	switch {
	case err == nil:
		v.l.count(done, "streams detached")
		v.l.workers.Add(1)
		go func() {
			defer v.l.workers.Done()
			v.goOn(c)
		}()
	case mayLack(err) && v.l.shortages.Load() > 0: // the stream lives on
		v.l.count(done, "streams not detached for lack of descriptors")
		v.write(s, v.next(s, -1))
	case err != net.ErrClosed:
		v.l.failf("Detach: %v", err)
	}
}

// goOn echoes on a net.Conn to the end of the first part, and then, if there is another one, on a Stream again.
func (v *server) goOn(c net.Conn) {
	came := v.l.watch.expect("end of a detached connection of a server, %d of %d+%d bytes", v.at, v.h.first, v.h.then)
	defer came()
	b := make([]byte, 16<<10)
	for v.at < int(v.h.first) || v.h.then == 0 {
		n := len(b)
		if v.h.then > 0 {
			n = min(n, int(v.h.first)-v.at)
		}
		n, err := c.Read(b[:n])
		v.verify(b[:n])
		if n > 0 {
			if _, err := c.Write(b[:n]); err != nil {
				_ = c.Close()
				return // the client has gone
			}
		}
		if err != nil {
			if err == io.EOF {
				err = c.Close()
			} else {
				_ = c.Close()
			}
			v.detachedEnded(err)
			return
		}
	}
	v.adoptAgain(c)
}

// detachedEnded fails if a detached connection has ended by something that no client does.
func (v *server) detachedEnded(err error) {
	if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !v.l.hasDied() && !v.l.isEnding() {
		v.l.failf("a detached connection ended with %v", err)
	}
}

// adoptAgain makes a Stream of a detached connection. The rest may be on its way already, or in front of its socket.
func (v *server) adoptAgain(c net.Conn) {
	again := &server{end: v.l.newEnd("adopted again"), half: false, r: rand.New(rand.NewPCG(v.h.key, uint64(v.at))), h: v.h, ready: true, at: v.at}
	again.h.mode = modeEcho
	again.h.cut = ^uint32(0)
	again.data, again.eof, again.over = again.onData, again.onEOF, again.onOver
	raw, ok := c.(syscall.Conn)
	if !ok {
		v.l.failf("what Detach returns has no SyscallConn")
		return
	}
	_, err := v.l.t.Adopt(raw, again.end)
	if err == nil {
		v.l.count(done, "connections adopted again")
		return
	}
	defer c.Close()
	if errors.Is(err, syscall.ENOTCONN) { // so it has failed, unless Adopt is wrong
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, rest := io.Copy(io.Discard, c); !errors.Is(rest, os.ErrDeadlineExceeded) {
			v.l.count(excused, "the peer had reset what was to be adopted again")
			return
		}
	}
	if !mayLack(err) && !isReset(err) && !errors.Is(err, net.ErrClosed) && !v.l.hasDied() {
		v.l.failf("Adopt of what Detach returned: %v", err)
	}
}
