//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/tandem-io/tandem"
)

// tandemCloseLimit is how long open connections may take to end when the server does.
const tandemCloseLimit = 2 * time.Second

// tandemImplementations are the backends of the library, and each rung of the ladder that the io_uring backend steps
// down on older kernels.
func tandemImplementations() []implementation {
	all := []implementation{
		tandemImplementation("tandem-epoll", "this library on epoll", tandem.Options{Backend: tandem.Epoll}),
		tandemImplementation("tandem-uring", "this library on io_uring, as well as the kernel can",
			tandem.Options{Backend: tandem.Uring}),
	}
	for _, rung := range []string{"defer", "coop", "plain", "oneshot"} {
		im := tandemImplementation("tandem-uring-"+rung, "this library on io_uring, held to the rung "+rung,
			tandem.Options{Backend: tandem.Uring, Uring: tandem.UringOptions{Rung: rung}})
		im.Extra = true
		all = append(all, im)
	}
	return all
}

func tandemImplementation(name, about string, o tandem.Options) implementation {
	return implementation{
		Name:   name,
		About:  about,
		Module: "github.com/tandem-io/tandem",
		Modes:  []string{modeEcho, modeFrameEcho, modeDiscard, modeFanOut, modeWorker},
		Lacks:  map[string]string{modeConnEcho: "its net.Conn view is not there yet"},
		Loops:  true,
		Spins:  true,
		Open:   func(c serverConfig) (*server, error) { return openTandem(c, o) },
	}
}

func openTandem(c serverConfig, o tandem.Options) (*server, error) {
	o.Loops, o.Spin = c.Loops, c.Spin
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, end := tandemHandler(c)
	t, err := tandem.Open(&o)
	if err != nil {
		end()
		return nil, fmt.Errorf("open the transport: %w", err)
	}
	l, err := t.Listen("tcp", c.Addr, h, nil)
	if err != nil {
		_ = t.Close()
		end()
		return nil, err
	}
	return &server{
		Addr:    l.Addr(),
		Details: t.Info().String(),
		Close: func() error {
			defer end()
			return closeTandem(t)
		},
		Syscalls: func() int64 { return int64(t.Stats().SystemCalls) },
	}, nil
}

// closeTandem gives open connections a while to end. That they had to be aborted is no failure of a benchmark.
func closeTandem(t tandem.Transport) error {
	ctx, cancel := context.WithTimeout(context.Background(), tandemCloseLimit)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
