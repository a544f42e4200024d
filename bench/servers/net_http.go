//go:build linux

package servers

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/tandem-io/tandem/bench/workload"
)

// Servers on package net/http: its own answers, and the WebSocket libraries that take connections over from it.

func gorillaImplementation() Implementation {
	return Implementation{
		Name:   "gorilla",
		About:  "gorilla/websocket on package net/http: ReadMessage, WriteMessage",
		Module: "github.com/gorilla/websocket",
		Modes:  []string{workload.ModeWSEcho},
		Open:   func(c Config) (*Server, error) { return openNetHTTP(c, http.HandlerFunc(serveGorilla)) },
	}
}

func coderImplementation() Implementation {
	return Implementation{
		Name:   "coder",
		About:  "coder/websocket on package net/http: Read, Write",
		Module: "github.com/coder/websocket",
		Modes:  []string{workload.ModeWSEcho},
		Open:   func(c Config) (*Server, error) { return openNetHTTP(c, http.HandlerFunc(serveCoder)) },
	}
}

func serveHello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, workload.Hello)
}

var gorillaUpgrader = gorilla.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func serveGorilla(w http.ResponseWriter, r *http.Request) {
	c, err := gorillaUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, p); err != nil {
			return
		}
	}
}

func serveCoder(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any origin
	if err != nil {
		return // it has answered
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(workload.FrameLimit)
	ctx := context.Background()
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, p); err != nil {
			return
		}
	}
}

// netHTTP is a server of package net/http that knows the connections which its handlers have taken over.
type netHTTP struct {
	server http.Server
	served chan struct{} // closed when Serve has returned

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

func openNetHTTP(c Config, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	s := &netHTTP{served: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	s.server.Handler = h
	s.server.ConnState = s.state
	failed := make(chan error, 1)
	go func() {
		defer close(s.served)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return &Server{Addr: l.Addr(), Failed: failed, Close: s.close}, nil
}

// state follows the connections. One that was taken over is closed by its handler, and never heard of again: it stays in
// the map, which costs a server of a benchmark little.
func (s *netHTTP) state(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.mu.Lock()
		s.conns[c] = struct{}{}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			_ = c.Close()
		}
	case http.StateClosed:
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}
}

func (s *netHTTP) close() error {
	err := s.server.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	<-s.served
	return err
}
