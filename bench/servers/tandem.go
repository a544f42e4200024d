//go:build linux

package servers

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/bench/workload"
)

// tandemCloseLimit is how long open connections may take to end when the server does.
const tandemCloseLimit = 2 * time.Second

// tandemImplementations are the backends of the library, and each step that the io_uring backend falls back to on older
// kernels.
func tandemImplementations() []Implementation {
	all := []Implementation{
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

func tandemImplementation(name, about string, o tandem.Options) Implementation {
	return Implementation{
		Name:   name,
		About:  about,
		Module: "github.com/tandem-io/tandem",
		Modes:  []string{workload.ModeEcho, workload.ModeFrameEcho, workload.ModeDiscard, workload.ModeFanOut, workload.ModeWorker},
		Lacks:  map[string]string{workload.ModeConnEcho: "its net.Conn view is not implemented yet"},
		Loops:  true,
		Spins:  true,
		Open:   func(c Config) (*Server, error) { return openTandem(c, o) },
	}
}

func openTandem(c Config, o tandem.Options) (*Server, error) {
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
	return &Server{
		Addr:    l.Addr(),
		Details: t.Info().String(),
		Close: func() error {
			defer end()
			return closeTandem(t)
		},
		Syscalls: func() int64 { return int64(t.Stats().SystemCalls) },
	}, nil
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
