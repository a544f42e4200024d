//go:build linux

package servers

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/tandem-io/tandem/bench/workload"
)

func nbioImplementation() Implementation {
	return Implementation{
		Name:   "nbio",
		About:  "lesismal/nbio: pollers on epoll",
		Module: "github.com/lesismal/nbio",
		Modes:  []string{workload.ModeEcho, workload.ModeFrameEcho, workload.ModeDiscard, workload.ModeFanOut, workload.ModeWorker, workload.ModeTLSEcho, workload.ModeWSEcho, workload.ModeHTTP, workload.ModeHTTPStd},
		Loops:  true,
		Open:   openNbio,
	}
}

// nbioCloseLimit is how long open connections may take to end when the server does.
const nbioCloseLimit = 2 * time.Second

func openNbio(c Config) (*Server, error) {
	logging.SetLevel(logging.LevelNone)
	if c.Mode == workload.ModeWSEcho || c.Mode == workload.ModeHTTP || c.Mode == workload.ModeHTTPStd {
		return openNbioHTTP(c)
	}
	e := nbio.NewEngine(nbio.Config{
		Network: "tcp", Addrs: []string{c.Addr}, NPoller: c.loops(), ReadBufferSize: readBuffer,
	})
	end, err := nbioMode(e, c)
	if err != nil {
		return nil, err
	}
	if err := e.Start(); err != nil {
		end()
		return nil, err
	}
	addr, err := net.ResolveTCPAddr("tcp", e.Addrs[0])
	if err != nil {
		return nil, err
	}
	return &Server{
		Addr:    addr,
		Details: fmt.Sprintf("%d pollers, level-triggered", c.loops()),
		Close: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), nbioCloseLimit)
			defer cancel()
			if err := e.Shutdown(ctx); err != nil {
				return nil // connections that do not end are no failure of a benchmark
			}
			end()
			return nil
		},
	}, nil
}

// nbioMode sets the handlers of a mode. Call end when none can run any more.
func nbioMode(e *nbio.Engine, c Config) (end func(), err error) {
	end = func() {}
	switch c.Mode {
	case workload.ModeFrameEcho:
		e.OnOpen(func(conn *nbio.Conn) { conn.SetSession(new(frameBuffer)) })
		e.OnData(func(conn *nbio.Conn, p []byte) { nbioFrames(conn, p, c.Work) })
	case workload.ModeDiscard:
		e.OnData(func(*nbio.Conn, []byte) {})
	case workload.ModeFanOut:
		m := new(members[*nbio.Conn])
		e.OnOpen(func(conn *nbio.Conn) {
			m.join(conn)
			_, _ = conn.Write([]byte{workload.Greeting})
		})
		e.OnClose(func(conn *nbio.Conn, _ error) { m.leave(conn) })
		e.OnData(func(_ *nbio.Conn, p []byte) {
			for _, to := range m.all() {
				_, _ = to.Write(p)
			}
		})
	case workload.ModeWorker:
		w := startWorkers()
		end = w.stop
		var keys atomic.Uint64
		e.OnOpen(func(conn *nbio.Conn) { conn.SetSession(keys.Add(1)) })
		e.OnData(func(conn *nbio.Conn, p []byte) { w.hand(conn.Session().(uint64), nbioAnswer{conn}, p) })
	case workload.ModeTLSEcho:
		err = nbioTLS(e)
	default:
		e.OnData(func(conn *nbio.Conn, p []byte) {
			burn(c.Work)
			_, _ = conn.Write(p) // which closes the connection if it fails
		})
	}
	return end, err
}

func nbioFrames(c *nbio.Conn, p []byte, work time.Duration) {
	err := c.Session().(*frameBuffer).take(p, func(frame []byte) error {
		burn(work)
		_, err := c.Write(frame)
		return err
	})
	if err != nil {
		_ = c.Close()
	}
}

type nbioAnswer struct{ conn *nbio.Conn }

func (a nbioAnswer) answer(p *[]byte) {
	_, _ = a.conn.Write(*p)
	giveBytes(p)
}
