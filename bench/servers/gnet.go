//go:build linux

package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

func gnetImplementation() Implementation {
	return Implementation{
		Name:   "gnet",
		About:  "panjf2000/gnet: event loops on epoll",
		Module: "github.com/panjf2000/gnet/v2",
		Modes:  []string{workload.ModeEcho, workload.ModeFrameEcho, workload.ModeDiscard, workload.ModeFanOut, workload.ModeWorker},
		Lacks:  map[string]string{workload.ModeTLSEcho: "it has no TLS", workload.ModeWSEcho: "it has no WebSocket", workload.ModeHTTP: "it has no HTTP", workload.ModeHTTPStd: "it has no HTTP"},
		Loops:  true,
		Open:   openGnet,
	}
}

// gnetServer is the part of a handler that all modes share.
type gnetServer struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	booted chan error
}

// OnBoot implements gnet.EventHandler.
func (s *gnetServer) OnBoot(e gnet.Engine) gnet.Action {
	s.engine = e
	s.booted <- nil
	return gnet.None
}

func openGnet(c Config) (*Server, error) {
	s := &gnetServer{booted: make(chan error, 1)}
	h, end := gnetHandler(c, s)
	ended := make(chan error, 1)
	go func() {
		err := gnet.Run(h, "tcp://"+c.Addr, gnet.WithNumEventLoop(c.loops()), gnet.WithReadBufferCap(readBuffer),
			gnet.WithTCPNoDelay(gnet.TCPNoDelay), gnet.WithLogger(gnetSilence{}))
		s.booted <- err // received only if it did not boot
		ended <- err
	}()
	if err := <-s.booted; err != nil {
		end()
		return nil, err
	}
	addr, err := gnetAddr(s.engine)
	if err != nil {
		return nil, err
	}
	var closing atomic.Bool
	failed := make(chan error, 1)
	go func() {
		err := <-ended
		if !closing.Load() {
			failed <- fmt.Errorf("gnet.Run returned: %w", err)
		}
	}()
	return &Server{
		Addr:    addr,
		Details: fmt.Sprintf("%d loops, level-triggered", c.loops()),
		Failed:  failed,
		Close: func() error {
			closing.Store(true)
			defer end()
			return s.engine.Stop(context.Background())
		},
	}, nil
}

// gnetAddr asks the socket for its address, because gnet only repeats the one it was given.
func gnetAddr(e gnet.Engine) (net.Addr, error) {
	fd, err := e.Dup()
	if err != nil {
		return nil, fmt.Errorf("duplicate the listening socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	return sockets.TCPAddr(name)
}

// gnetSilence is a logger that discards everything.
type gnetSilence struct{}

// Debugf implements gnet's logger, as all below do.
func (gnetSilence) Debugf(string, ...any) {}

// Infof drops it.
func (gnetSilence) Infof(string, ...any) {}

// Warnf drops it.
func (gnetSilence) Warnf(string, ...any) {}

// Errorf drops it.
func (gnetSilence) Errorf(string, ...any) {}

// Fatalf drops it.
func (gnetSilence) Fatalf(string, ...any) {}
