//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/tandem-io/tandem"
)

// serverTask is what a server is told when it starts.
type serverTask struct {
	Backend tandem.Backend
	Loops   int
	Limits  limits
	Fault   string // of faults, to see that the bound notices it; "": none
}

// serverAnswer is what a server says when it has started, and to each question.
type serverAnswer struct {
	Addresses map[string]string // by service; only at the start
	Stats     tandem.Stats
	Listeners map[string]tandem.ListenerStats
	Time      time.Duration // since the server started, when the figures were taken
	Failure   string        // it could not start
	Missing   bool          // because the backend cannot run here
}

// serverQuestion is what a server may be asked.
type serverQuestion struct {
	Tidy bool // collect garbage and give memory back first
}

// server is a Transport with a listener for each service.
type server struct {
	transport tandem.Transport
	listeners map[string]tandem.Listener
	began     time.Time
}

// serve runs a server until its parent says no more.
func serve(c *conversation) error {
	var task serverTask
	if err := c.hear(&task); err != nil {
		return err
	}
	s, err := openServer(&task)
	if err != nil {
		return c.say(serverAnswer{Failure: err.Error(), Missing: errors.Is(err, errors.ErrUnsupported)})
	}
	answer := s.figures()
	answer.Addresses = map[string]string{}
	for name, l := range s.listeners {
		answer.Addresses[name] = l.Addr().String()
	}
	for err = c.say(answer); err == nil; err = c.say(s.figures()) {
		var q serverQuestion
		if err := c.hear(&q); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if q.Tidy {
			debug.FreeOSMemory()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.transport.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return err
}

func openServer(task *serverTask) (*server, error) {
	fault, err := findFault(task.Fault)
	if err != nil {
		return nil, err
	}
	if fault.limits != nil {
		fault.limits(&task.Limits)
	}
	t, err := tandem.Open(&tandem.Options{
		Backend: task.Backend, Loops: task.Loops, MemoryLimit: task.Limits.MemoryLimit, StreamOptions: task.Limits.Stream,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	s := &server{transport: t, listeners: map[string]tandem.Listener{}, began: time.Now()}
	for _, one := range services(&task.Limits) {
		h := one.handler
		if fault.handler != nil && one.name != steadyService {
			h = fault.handler(h)
		}
		o := tandem.ListenOptions{StreamOptions: one.options, MaxConns: task.Limits.MaxConns}
		if one.name == steadyService {
			o.IdleTimeout = time.Hour
		}
		l, err := t.Listen("tcp", "127.0.0.1:0", h, &o)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		s.listeners[one.name] = l
	}
	if fault.start != nil {
		fault.start(t)
	}
	return s, nil
}

func (s *server) figures() serverAnswer {
	a := serverAnswer{Stats: s.transport.Stats(), Time: time.Since(s.began), Listeners: map[string]tandem.ListenerStats{}}
	for name, l := range s.listeners {
		a.Listeners[name] = l.Stats()
	}
	return a
}
