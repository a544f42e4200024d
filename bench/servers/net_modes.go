//go:build linux

package servers

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

// netMode returns a function that serves a connection in a mode until it ends, and one to call when no connection is
// left.
func netMode(c Config) (serve func(net.Conn), end func()) {
	end = func() {}
	switch c.Mode {
	case workload.ModeFrameEcho:
		serve = func(conn net.Conn) { netFrames(conn, c.Work) }
	case workload.ModeDiscard:
		serve = netDiscard
	case workload.ModeFanOut:
		m := new(members[net.Conn])
		serve = func(conn net.Conn) { netFanOut(conn, m) }
	case workload.ModeWorker:
		w := startWorkers()
		var keys atomic.Uint64
		serve, end = func(conn net.Conn) { netWorker(conn, keys.Add(1), w) }, w.stop
	case workload.ModeTLSEcho:
		serve = func(conn net.Conn) { netEcho(conn, tlsBuffer, 0) }
	case workload.ModeWSEcho:
		serve = netWS
	default:
		serve = func(conn net.Conn) { netEcho(conn, readBuffer, c.Work) }
	}
	return serve, end
}

// netEach calls each with everything that is read, into a buffer of the given size.
func netEach(c net.Conn, size int, each func(p []byte) error) {
	buf := make([]byte, size)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if err := each(buf[:n]); err != nil {
			return
		}
	}
}

func netEcho(c net.Conn, size int, work time.Duration) {
	netEach(c, size, func(p []byte) error {
		burn(work)
		_, err := c.Write(p)
		return err
	})
}

func netDiscard(c net.Conn) { netEach(c, readBuffer, func([]byte) error { return nil }) }

// netFrames reads through a bufio.Reader, as is usual with package net. A frame that fits into it is answered from
// there; a larger one is assembled first.
func netFrames(c net.Conn, work time.Duration) {
	r := bufio.NewReaderSize(c, readBuffer)
	var large []byte
	for {
		head, err := r.Peek(workload.FrameHead)
		if err != nil {
			return
		}
		n, err := workload.FrameLength(head)
		if err != nil {
			return
		}
		frame, err := r.Peek(min(n, readBuffer))
		if err == nil && n > readBuffer {
			if cap(large) < n {
				large = make([]byte, n)
			}
			frame = large[:n]
			_, err = io.ReadFull(r, frame)
		}
		if err != nil {
			return
		}
		burn(work)
		if _, err := c.Write(frame); err != nil {
			return
		}
		if n <= readBuffer {
			_, _ = r.Discard(n) // they are buffered
		}
	}
}

func netFanOut(c net.Conn, m *members[net.Conn]) {
	m.join(c)
	defer m.leave(c)
	if _, err := c.Write([]byte{workload.Greeting}); err != nil {
		return
	}
	netEach(c, readBuffer, func(p []byte) error {
		for _, to := range m.all() {
			_, _ = to.Write(p) // its own goroutine finds out if it has ended
		}
		return nil
	})
}

func netWorker(c net.Conn, key uint64, w *workers) {
	netEach(c, readBuffer, func(p []byte) error {
		w.hand(key, netAnswer{c}, p)
		return nil
	})
}

type netAnswer struct{ conn net.Conn }

func (a netAnswer) answer(p *[]byte) {
	_, _ = a.conn.Write(*p)
	giveBytes(p)
}
