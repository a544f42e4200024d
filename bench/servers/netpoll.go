//go:build linux

package servers

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cloudwego/netpoll"
	"github.com/tandem-io/tandem/bench/workload"
)

func netpollImplementation() Implementation {
	return Implementation{
		Name:   "netpoll",
		About:  "cloudwego/netpoll: pollers on epoll, handlers on pooled goroutines",
		Module: "github.com/cloudwego/netpoll",
		Modes:  []string{workload.ModeEcho, workload.ModeFrameEcho, workload.ModeDiscard, workload.ModeFanOut, workload.ModeWorker},
		Lacks:  map[string]string{workload.ModeTLSEcho: "it has no TLS", workload.ModeWSEcho: "it has no WebSocket", workload.ModeHTTP: "it has no HTTP", workload.ModeHTTPStd: "it has no HTTP"},
		Loops:  true,
		Open:   openNetpoll,
	}
}

// netpollCloseLimit is how long handlers that run may take when the server ends.
const netpollCloseLimit = 2 * time.Second

func openNetpoll(c Config) (*Server, error) {
	if err := netpoll.Configure(netpoll.Config{PollerNum: c.loops(), LoggerOutput: io.Discard}); err != nil {
		return nil, err
	}
	l, err := netpoll.CreateListener("tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	onRequest, options, end := netpollMode(c)
	loop, err := netpoll.NewEventLoop(onRequest, options...)
	if err != nil {
		end()
		_ = l.Close()
		return nil, err
	}
	failed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		if err := loop.Serve(l); err != nil { // nil after Shutdown
			failed <- fmt.Errorf("its loop ended: %w", err)
		}
	}()
	return &Server{
		Addr:    l.Addr(),
		Details: fmt.Sprintf("%d pollers", c.loops()),
		Failed:  failed,
		Close: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), netpollCloseLimit)
			defer cancel()
			err := loop.Shutdown(ctx)
			if ctx.Err() != nil { // connections in use are no failure of a benchmark
				return nil
			}
			<-ended
			end()
			return err
		},
	}, nil
}
