//go:build linux

package servers

import (
	"context"
	"net"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
	"github.com/valyala/fasthttp"
)

func fasthttpImplementation() Implementation {
	return Implementation{
		Name:   "fasthttp",
		About:  "valyala/fasthttp: a goroutine per connection, on package net",
		Module: "github.com/valyala/fasthttp",
		Modes:  []string{workload.ModeHTTP},
		Lacks:  map[string]string{workload.ModeHTTPStd: "its handlers are of its own"},
		Open:   openFasthttp,
	}
}

// fasthttpCloseLimit is how long open connections may take to end when the server does.
const fasthttpCloseLimit = 2 * time.Second

func openFasthttp(c Config) (*Server, error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	s := &fasthttp.Server{
		Logger: fasthttpSilence{},
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain")
			ctx.SetBodyString(workload.Hello)
		},
	}
	failed := make(chan error, 1)
	go func() {
		if err := s.Serve(l); err != nil {
			failed <- err
		}
	}()
	return &Server{Addr: l.Addr(), Failed: failed, Close: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), fasthttpCloseLimit)
		defer cancel()
		if err := s.ShutdownWithContext(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		return nil // connections that do not end are no failure of a benchmark
	}}, nil
}

// fasthttpSilence is a logger that discards everything.
type fasthttpSilence struct{}

// Printf implements fasthttp.Logger.
func (fasthttpSilence) Printf(string, ...any) {}
