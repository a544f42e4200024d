package tandem

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/portable"
	epoll "github.com/tandem-io/tandem/backend_epoll"
	uring "github.com/tandem-io/tandem/backend_uring"
	"github.com/tandem-io/tandem/session"
)

// source is a backend, and how its drivers are made.
type source struct {
	backend Backend
	name    string // the text form of the Backend
	kernel  string // what the kernel calls it
	asked   bool   // only for those who ask for it: Auto does not try it

	// open makes one driver for each loop, after it has proved that they can run. If they cannot, the error is
	// errors.ErrUnsupported, and nothing is left.
	open func(o *Options) ([]backend.Driver, error)
}

// sources has a row for each backend, in the order in which Auto tries them.
var sources = []source{
	{backend: Uring, name: "uring", kernel: "io_uring", open: openUring},
	{backend: Epoll, name: "epoll", kernel: "epoll", open: openEpoll},
	{backend: Portable, name: "portable", kernel: "package net", open: openPortable},
}

// Open opens a Transport. A nil o means all defaults. If o names a backend that cannot run, the error satisfies
// errors.Is(err, errors.ErrUnsupported), and says why and what would help.
func Open(o *Options) (Transport, error) { return openFrom(sources, o) }

// openFrom is Open with a choice of backends.
func openFrom(from []source, o *Options) (Transport, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	drivers, info, err := opts.choose(from)
	if err != nil {
		return nil, err
	}
	return opts.start(drivers, backend.SystemClock{}, info)
}

// start makes the Transport of drivers.
func (o *Options) start(drivers []backend.Driver, clock backend.Clock, info Info) (Transport, error) {
	e, err := session.New(session.Config{
		Drivers: drivers, Spin: o.Spin, Affinity: o.Affinity, Balance: o.Balance, CallerDriven: o.CallerDriven,
		Propagate: o.Propagate, Logger: o.Logger, SlowCallback: o.SlowCallback, Debug: o.Debug, Trace: o.Trace,
		MemoryLimit: o.MemoryLimit, Handshakes: o.TLSHandshakes, MaxConns: info.MaxConns, Clock: clock, Stream: o.StreamOptions,
	})
	if err != nil {
		return nil, openError(err)
	}
	o.Logger.Info("tandem: open", "backend", info.Backend, "loops", info.Loops, "features", info.Features, "reason", info.Reason,
		"max_conns", info.MaxConns)
	return &transport{Engine: e, info: info}, nil
}

// choose decides on a backend and makes its drivers. No other place decides that.
func (o *Options) choose(from []source) ([]backend.Driver, Info, error) {
	want, reason, err := o.wanted()
	if err != nil {
		return nil, Info{}, err
	}
	for _, s := range from {
		if s.backend != want && (want != Auto || s.asked) {
			continue
		}
		var drivers []backend.Driver
		drivers, err = s.open(o)
		if err == nil {
			if reason == "" {
				reason = s.kernel + " works here"
			}
			return drivers, Info{
				Backend: s.backend, Kernel: backend.Kernel(), Loops: o.Loops, Features: drivers[0].Features(), Reason: reason,
				MaxConns: backend.DefaultMaxConns(),
			}, nil
		}
		if want != Auto || !errors.Is(err, errors.ErrUnsupported) {
			return nil, Info{}, openError(err)
		}
		if reason == "" {
			reason = err.Error() // of the one that Auto would rather have had
		}
	}
	if err == nil {
		return nil, Info{}, fmt.Errorf("tandem: Options.Backend is %d; it must be Auto, Epoll, Uring or Portable", int(want))
	}
	return nil, Info{}, openError(err)
}

// wanted returns the backend that was asked for, and by whom; or Auto.
func (o *Options) wanted() (want Backend, reason string, err error) {
	if o.Backend != Auto {
		return o.Backend, "asked for by Options.Backend", nil
	}
	name := os.Getenv("TANDEM_BACKEND")
	if name == "" {
		return Auto, "", nil
	}
	if err := want.UnmarshalText([]byte(name)); err != nil {
		return Auto, "", fmt.Errorf("tandem: TANDEM_BACKEND is %q; it must be one of %s", name, strings.Join(backendNames(), ", "))
	}
	if want != Auto {
		reason = "asked for by TANDEM_BACKEND"
	}
	return want, reason, nil
}

// openError adds what would help, where the backend has not said it.
func openError(err error) error {
	var u *backend.UnsupportedError
	if !errors.As(err, &u) && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) {
		err = fmt.Errorf("%w; raise the limit of open files (ulimit -n, fs.file-max)", err)
	}
	return fmt.Errorf("tandem: open: %w", err)
}

// openUring sends bytes over a socketpair first, to see that the rings work.
func openUring(o *Options) ([]backend.Driver, error) { return uring.NewAll(o.uring(), o.Loops) }

func openEpoll(o *Options) ([]backend.Driver, error) {
	c := epoll.Config{Sockets: o.ExpectedStreams / o.Loops, LockedThread: o.Affinity != nil}
	return backend.MakeDrivers(o.Loops, func() (backend.Driver, error) { return epoll.New(c) })
}

func openPortable(o *Options) ([]backend.Driver, error) {
	return portable.NewAll(portable.Config{Sockets: o.ExpectedStreams / o.Loops}, o.Loops), nil
}
