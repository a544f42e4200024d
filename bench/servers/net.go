//go:build linux

package servers

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

func netImplementation() Implementation {
	return Implementation{
		Name:  "net",
		About: "package net, one goroutine and one 64 KiB buffer per connection; crypto/tls with buffers of 16 KiB; gobwas/ws; net/http",
		Modes: workload.Modes,
		Open:  openNet,
	}
}

// netServer serves with a goroutine per connection. Package net sets TCP_NODELAY by default.
type netServer struct {
	listener net.Listener
	serve    func(net.Conn) // until the connection ends
	end      func()         // called when no connection is left
	failed   chan error
	running  sync.WaitGroup // the accept loop and every connection

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

func openNet(c Config) (*Server, error) {
	if c.Mode == workload.ModeHTTP || c.Mode == workload.ModeHTTPStd {
		return openNetHTTP(c, http.HandlerFunc(serveHello))
	}
	l, err := listenNet(c)
	if err != nil {
		return nil, err
	}
	s := &netServer{listener: l, failed: make(chan error, 1), conns: make(map[net.Conn]struct{})}
	s.serve, s.end = netMode(c)
	s.running.Go(s.accept)
	return &Server{Addr: l.Addr(), Failed: s.failed, Close: s.close}, nil
}

func listenNet(c Config) (net.Listener, error) {
	if c.Mode != workload.ModeTLSEcho {
		return net.Listen("tcp", c.Addr)
	}
	config, err := tlsConfig()
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", c.Addr, config)
}

func (s *netServer) accept() {
	for {
		c, err := s.listener.Accept()
		switch {
		case err == nil:
			s.running.Go(func() { s.handle(c) })
		case errors.Is(err, net.ErrClosed):
			return
		case isTemporary(err):
			time.Sleep(5 * time.Millisecond)
		default:
			s.failed <- err
			return
		}
	}
}

// isTemporary reports whether an error passes, as a lack of descriptors or memory does.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *netServer) handle(c net.Conn) {
	if !s.add(c) {
		_ = c.Close()
		return
	}
	defer s.remove(c)
	s.serve(c)
}

func (s *netServer) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *netServer) remove(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	_ = c.Close()
}

// close ends the listener and every connection, and waits for their goroutines.
func (s *netServer) close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	s.end()
	return err
}
