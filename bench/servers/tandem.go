//go:build linux

package servers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/bench/workload"
)

// tandemCloseLimit is how long open connections may take to end when the server does.
const tandemCloseLimit = 2 * time.Second

// tandemImplementations are the backends of the library; on request also the one for other systems, and each step that the
// io_uring backend falls back to on older kernels.
func tandemImplementations() []Implementation {
	all := []Implementation{
		tandemImplementation("tandem-epoll", "this library on epoll", tandem.Options{Backend: tandem.Epoll}),
		tandemImplementation("tandem-uring", "this library on io_uring, as well as the kernel can",
			tandem.Options{Backend: tandem.Uring}),
	}
	portable := tandemImplementation("tandem-portable", "this library on goroutines over package net",
		tandem.Options{Backend: tandem.Portable})
	portable.Extra = true
	all = append(all, portable)
	for _, rung := range []string{"defer", "coop", "plain", "oneshot"} {
		im := tandemImplementation("tandem-uring-"+rung, "this library on io_uring, held to the rung "+rung,
			tandem.Options{Backend: tandem.Uring, Uring: tandem.UringOptions{Rung: rung}})
		im.Extra = true
		all = append(all, im)
	}
	return all
}

func tandemImplementation(name, about string, o tandem.Options) Implementation {
	return Implementation{
		Name:   name,
		About:  about,
		Module: "github.com/tandem-io/tandem",
		Modes:  []string{workload.ModeEcho, workload.ModeFrameEcho, workload.ModeConnEcho, workload.ModeDiscard, workload.ModeFanOut, workload.ModeWorker, workload.ModeTLSEcho, workload.ModeWSEcho, workload.ModeHTTP, workload.ModeHTTPStd},
		Loops:  true,
		Spins:  true,
		Open:   func(c Config) (*Server, error) { return openTandem(c, o) },
	}
}

func openTandem(c Config, o tandem.Options) (*Server, error) {
	o.Loops, o.Spin = c.Loops, c.Spin
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	t, err := tandem.Open(&o)
	if err != nil {
		return nil, fmt.Errorf("open the transport: %w", err)
	}
	addr, end, err := listenTandem(t, c)
	if err != nil {
		_ = t.Close()
		end()
		return nil, err
	}
	return &Server{
		Addr:    addr,
		Details: t.Info().String(),
		Close: func() error {
			defer end()
			return closeTandem(t)
		},
		Syscalls: func() int64 { return int64(t.Stats().SystemCalls) },
	}, nil
}

// listenTandem serves a mode. Call end when the Transport has ended.
func listenTandem(t tandem.Transport, c Config) (addr net.Addr, end func(), err error) {
	if c.Mode == workload.ModeConnEcho {
		return listenTandemConn(t, c)
	}
	h, end := tandemHandler(c)
	var o tandem.ListenOptions
	if c.Mode == workload.ModeTLSEcho {
		if o.TLS, err = tlsConfig(); err != nil {
			return nil, end, err
		}
	}
	l, err := t.Listen("tcp", c.Addr, h, &o)
	if err != nil {
		return nil, end, err
	}
	return l.Addr(), end, nil
}

// listenTandemConn serves net.Conns by a goroutine each, as the implementation on package net does. No loop carries their
// bytes, so Loops, Spin and the count of system calls say nothing about them.
func listenTandemConn(t tandem.Transport, c Config) (addr net.Addr, end func(), err error) {
	var serving sync.WaitGroup
	l, err := tandem.ListenConn(t, "tcp", c.Addr, nil)
	if err != nil {
		return nil, serving.Wait, err
	}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				netEcho(conn, readBuffer, c.Work)
			})
		}
	})
	return l.Addr(), serving.Wait, nil
}

// closeTandem gives open connections some time to end. Aborting them is no failure of a benchmark.
func closeTandem(t tandem.Transport) error {
	ctx, cancel := context.WithTimeout(context.Background(), tandemCloseLimit)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
