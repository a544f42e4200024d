//go:build linux

package servers

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
	"github.com/tidwall/evio"
)

func evioImplementation() Implementation {
	const returns = "its handlers can only write by returning bytes, once per event"
	return Implementation{
		Name:   "evio",
		About:  "tidwall/evio: event loops on epoll; it has no way to ask for TCP_NODELAY",
		Module: "github.com/tidwall/evio",
		Modes:  []string{workload.ModeEcho, workload.ModeDiscard},
		Lacks: map[string]string{workload.ModeFrameEcho: returns, workload.ModeFanOut: returns, workload.ModeWorker: returns,
			workload.ModeTLSEcho: "it has no TLS", workload.ModeWSEcho: "it has no WebSocket", workload.ModeHTTP: "it has no HTTP", workload.ModeHTTPStd: "it has no HTTP"},
		Loops: true,
		Open:  openEvio,
	}
}

// evioTick is how often the server checks whether it was closed. evio offers no other way to end it.
const evioTick = 50 * time.Millisecond

func openEvio(c Config) (*Server, error) {
	var closing atomic.Bool
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	events := evio.Events{
		NumLoops: c.loops(),
		Serving: func(s evio.Server) evio.Action {
			listening <- s.Addrs[0]
			return evio.None
		},
		// Otherwise evio copies everything that it receives.
		Opened: func(evio.Conn) ([]byte, evio.Options, evio.Action) {
			return nil, evio.Options{ReuseInputBuffer: true}, evio.None
		},
		Data: evioMode(c),
		Tick: func() (time.Duration, evio.Action) {
			if closing.Load() {
				return evioTick, evio.Shutdown
			}
			return evioTick, evio.None
		},
	}
	go func() { ended <- evio.Serve(events, "tcp://"+c.Addr) }()
	select {
	case addr := <-listening:
		return evioServer(addr, c, &closing, ended), nil
	case err := <-ended:
		if err == nil {
			err = errors.New("it ended at once")
		}
		return nil, err
	}
}

func evioServer(addr net.Addr, c Config, closing *atomic.Bool, ended <-chan error) *Server {
	failed, done := make(chan error, 1), make(chan error, 1)
	go func() {
		err := <-ended
		if !closing.Load() {
			failed <- fmt.Errorf("evio.Serve returned: %w", err)
		}
		done <- err
	}()
	return &Server{
		Addr:    addr,
		Details: fmt.Sprintf("%d loops, buffer reused", c.loops()),
		Failed:  failed,
		Close: func() error {
			closing.Store(true)
			return <-done
		},
	}
}

func evioMode(c Config) func(evio.Conn, []byte) ([]byte, evio.Action) {
	if c.Mode == workload.ModeDiscard {
		return func(evio.Conn, []byte) ([]byte, evio.Action) { return nil, evio.None }
	}
	return func(_ evio.Conn, p []byte) ([]byte, evio.Action) {
		burn(c.Work)
		return p, evio.None
	}
}
