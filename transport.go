// Package tandem gives a service one Stream on two kernels: a Transport opens on epoll or io_uring, and either way the
// same streams behave alike to the byte. Only the speed is the kernel's.
//
//	user code        Handler: OnOpen, OnData, OnEOF, OnWritable, OnClose
//	    │
//	session          Stream, Listener, dials: what a connection promises
//	    │
//	backend          loops, timers, and the contract of a driver
//	   ╱ ╲
//	epoll uring      move bytes
//
// A Transport owns some loops. Each is one goroutine with one poller. A Stream lives on one loop, and its Handler is
// called there, one callback at a time. Callbacks must not block; any goroutine may write.
//
// Package session has what is above a Stream: Frames, for one callback a message with a codec of package frame; and
// sessions, which a program polls in a duty cycle of its own.
package tandem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
	epoll "github.com/tandem-io/tandem/backend_epoll"
	uring "github.com/tandem-io/tandem/backend_uring"
	"github.com/tandem-io/tandem/session"
)

// What a user of a Transport works with. The packages that declare it document it.
type (
	// Stream is one connection.
	Stream = session.Stream
	// Handler is the user's code for a stream.
	Handler = session.Handler
	// BaseHandler is a Handler that does nothing, to be embedded.
	BaseHandler = session.BaseHandler
	// Drainer is a Handler that ends its streams by itself at a shutdown.
	Drainer = session.Drainer
	// Buffer is received memory that was handed over.
	Buffer = session.Buffer
	// Timer is a function that waits on a stream's loop.
	Timer = session.Timer
	// StreamOptions are the limits and habits of streams.
	StreamOptions = session.StreamOptions
	// StreamStats are a stream's figures.
	StreamStats = session.StreamStats
	// ListenOptions are those of one listener.
	ListenOptions = session.ListenOptions
	// Listener accepts connections until it is closed.
	Listener = session.Listener
	// ListenerStats are a listener's figures.
	ListenerStats = session.ListenerStats
	// DialOptions are those of one dial.
	DialOptions = session.DialOptions
	// PanicError is what OnClose gets after a panic.
	PanicError = session.PanicError
	// Balance says which loop a connection goes to.
	Balance = session.Balance
	// SocketOption is one option of a socket.
	SocketOption = backend.SocketOption
)

// SocketOptionError says which socket option could not be set or read, why, and what would help.
type SocketOptionError = backend.SocketOptionError

// How connections are spread over loops.
const (
	RoundRobin   = session.RoundRobin
	LeastStreams = session.LeastStreams
	SourceHash   = session.SourceHash
	ReusePort    = session.ReusePort
)

// ErrWriteBufferFull is returned by a write for which there is no room below WriteBufferLimit.
var ErrWriteBufferFull = session.ErrWriteBufferFull

// ErrWouldBlock is returned by Stream.Read when nothing is unread and more may come. It is a net.Error whose Timeout and
// Temporary are true.
var ErrWouldBlock = session.ErrWouldBlock

// Socket options, for ListenOptions.Socket, DialOptions.Socket and Stream.SetSocketOption; package backend documents each.
var (
	NoDelay            = backend.NoDelay
	QuickAck           = backend.QuickAck
	Timestamp          = backend.Timestamp
	ReuseAddress       = backend.ReuseAddress
	ReusePortGroup     = backend.ReusePortGroup
	FastOpenConnect    = backend.FastOpenConnect
	V6Only             = backend.V6Only
	Mark               = backend.Mark
	Priority           = backend.Priority
	TypeOfService      = backend.TypeOfService
	FastOpen           = backend.FastOpen
	ReceiveBuffer      = backend.ReceiveBuffer
	ReceiveBufferForce = backend.ReceiveBufferForce
	ReceiveLowWater    = backend.ReceiveLowWater
	SendBuffer         = backend.SendBuffer
	SendBufferForce    = backend.SendBufferForce
	NotSentLowWater    = backend.NotSentLowWater
	Linger             = backend.Linger
	UserTimeout        = backend.UserTimeout
	DeferAccept        = backend.DeferAccept
	BusyPoll           = backend.BusyPoll
	KeepAlive          = backend.KeepAlive
	KeepAliveOff       = backend.KeepAliveOff
	BindToDevice       = backend.BindToDevice
	Congestion         = backend.Congestion
)

// InheritedListeners returns the sockets that a service manager has opened for this process, for ListenOptions.From.
func InheritedListeners() ([]*os.File, error) { return backend.InheritedListeners() }

// Backend is a kernel interface.
type Backend int

// The backends.
const (
	Auto  Backend = iota // Uring if it works here, else Epoll; TANDEM_BACKEND decides if it is set
	Epoll                // epoll(7)
	Uring                // io_uring(7), Linux 5.19 or newer, better from 6.1 on
)

var backendNames = [...]string{Auto: "auto", Epoll: "epoll", Uring: "uring"}

// String returns "auto", "epoll" or "uring".
func (b Backend) String() string {
	if b < 0 || int(b) >= len(backendNames) {
		return fmt.Sprintf("Backend(%d)", int(b))
	}
	return backendNames[b]
}

// MarshalText implements encoding.TextMarshaler.
func (b Backend) MarshalText() ([]byte, error) {
	if b < 0 || int(b) >= len(backendNames) {
		return nil, fmt.Errorf("tandem: no such backend: %d", int(b))
	}
	return []byte(backendNames[b]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Backend) UnmarshalText(text []byte) error {
	for i, name := range backendNames {
		if name == string(text) {
			*b = Backend(i)
			return nil
		}
	}
	return fmt.Errorf("tandem: no such backend: %q; there are auto, epoll and uring", text)
}

// Options are those of a Transport. The zero value is right for most.
type Options struct {
	// Backend is the kernel interface. Default Auto.
	Backend Backend

	// Loops is the number of loops. Default 0: GOMAXPROCS, or 1 if CallerDriven.
	Loops int

	// Affinity is the CPU of each loop. Default nil: none.
	Affinity []int

	// Spin is how long a loop looks for events without sleeping before it sleeps. It saves the time to wake a
	// sleeping CPU and costs that CPU. Default 0: it does not.
	Spin time.Duration

	// Balance says which loop a connection goes to. Default RoundRobin.
	Balance Balance

	// CallerDriven makes a Transport without goroutines: everything happens in Poll, on the goroutine that calls it.
	CallerDriven bool

	// Propagate lets a panic in a callback crash the program. By default it ends its stream with a *PanicError.
	Propagate bool

	// Logger gets what concerns an operator. Default nil: slog.Default().
	Logger *slog.Logger

	// ExpectedStreams sizes tables from the start. Default 0: they grow.
	ExpectedStreams int

	// MemoryLimit bounds how many bytes all streams of the Transport hold unread. Above it the streams that hold most
	// stop reading first, so that TCP slows their peers down, and nothing is lost. Each may always hold its share of half
	// the limit, and one that holds nothing read a piece, of at most 256 KiB. Messages should be smaller than that share:
	// a stream waits that has stopped in the middle of one, until others have read theirs. In bytes. Default 0: none.
	MemoryLimit int64

	// StreamOptions are the limits of all streams, where a listener or a dial does not set its own.
	StreamOptions

	// UringEntries is the size of each submission queue, CompletionEntries of each completion queue. Powers of two,
	// between 1 and 32768, and up to 65536. Default 1024 and 8192. io_uring only.
	UringEntries, UringCompletionEntries int

	// UringBuffers and UringBufferSize are how many receive buffers a loop has to begin with, and their size in
	// bytes; when they run out their number grows to eight times that. Default 128 of 16 KiB. io_uring only.
	UringBuffers, UringBufferSize int

	// UringRung makes io_uring work as on an older kernel, for tests and comparisons: "defer", "coop", "plain" or
	// "oneshot". Default "": the best that works. io_uring only.
	UringRung string
}

// Transport is a set of loops on one backend. All methods may be called from any goroutine, unless they say otherwise.
type Transport interface {
	// Listen accepts connections on tcp, tcp4, tcp6 or unix, each of which becomes a Stream of h. o may be nil.
	Listen(network, address string, h Handler, o *ListenOptions) (Listener, error)

	// Dial connects and waits for the result. In a callback it is an error. o may be nil.
	Dial(ctx context.Context, network, address string, h Handler, o *DialOptions) (*Stream, error)

	// Connect begins to connect and returns; OnOpen, or OnClose alone, tells the result. o may be nil.
	Connect(network, address string, h Handler, o *DialOptions) (*Stream, error)

	// Adopt makes a Stream of a connected socket from elsewhere, and closes c.
	Adopt(c syscall.Conn, h Handler) (*Stream, error)

	// Poll runs one turn and waits at most timeout for something to happen, for ever if it is negative. It returns
	// how many events there were. Only when CallerDriven, and always on the same goroutine.
	Poll(timeout time.Duration) (events int, err error)

	// Info says which backend runs, how, and why not the other one.
	Info() Info

	// Stats returns the figures as of the end of each loop's last turn, in all and for each loop. To publish them:
	//
	//	expvar.Publish("tandem", expvar.Func(func() any { return t.Stats() }))
	Stats() Stats

	// Done is closed when no loop is left: because all of them have failed, or when a Shutdown or Close has ended.
	Done() <-chan struct{}

	// Err returns nil while a loop is left; then why the last of them failed, or net.ErrClosed after a Shutdown or Close.
	Err() error

	// Shutdown stops accepting, refuses what is new with net.ErrClosed, lets streams end, and when ctx ends aborts the
	// rest and returns ctx.Err(). When it returns nil nothing of the Transport is left. It returns within 100 ms of
	// ctx's end whatever callbacks do: if one of them blocks, the error says which stream's, and still is ctx.Err().
	// In a callback it is an error.
	Shutdown(ctx context.Context) error

	// Close is Shutdown that aborts at once, waits for the end, and returns nil for that. It is an error if a callback
	// blocks, and in a callback.
	Close() error
}

// Info describes a Transport.
type Info struct {
	Backend  Backend  // Epoll or Uring
	Kernel   string   // release of the running kernel
	Loops    int      //
	Features []string // what the backend uses
	Reason   string   // why this backend, and why not the other
}

// String is Info in one line.
func (i Info) String() string {
	return fmt.Sprintf("%s on Linux %s, %d loops (%s): %s", i.Backend, i.Kernel, i.Loops, strings.Join(i.Features, ", "), i.Reason)
}

type transport struct {
	*session.Engine
	info Info
}

// Open opens a Transport. A nil o means all defaults. A backend that is asked for by name and cannot run is an error
// that errors.Is(err, errors.ErrUnsupported), and says why and what would help.
func Open(o *Options) (Transport, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	drivers, info, err := opts.choose()
	if err != nil {
		return nil, err
	}
	e, err := session.New(session.Config{
		Drivers: drivers, Spin: opts.Spin, Affinity: opts.Affinity, Balance: opts.Balance,
		CallerDriven: opts.CallerDriven, Propagate: opts.Propagate, Logger: opts.Logger, MemoryLimit: opts.MemoryLimit, Stream: opts.StreamOptions,
	})
	if err != nil {
		return nil, openError(err)
	}
	opts.Logger.Info("tandem: open", "backend", info.Backend, "loops", info.Loops, "features", info.Features, "reason", info.Reason)
	return &transport{Engine: e, info: info}, nil
}

// openError says what would help, where the backend has not said it.
func openError(err error) error {
	var u *backend.UnsupportedError
	if !errors.As(err, &u) && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) {
		err = fmt.Errorf("%w; raise the limit of open files (ulimit -n, fs.file-max)", err)
	}
	return fmt.Errorf("tandem: open: %w", err)
}

// complete fills in defaults, and names the first field that cannot be honoured.
func (o *Options) complete() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("tandem: Options.%s is %v; it must be %s", field, value, want)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Loops == 0 {
		o.Loops = runtime.GOMAXPROCS(0)
		if o.CallerDriven {
			o.Loops = 1
		}
	}
	switch {
	case o.Backend < Auto || o.Backend > Uring:
		return bad("Backend", int(o.Backend), "Auto, Epoll or Uring")
	case o.Loops < 0 || o.Loops > 1024:
		return bad("Loops", o.Loops, "between 1 and 1024, or 0 for GOMAXPROCS")
	case o.CallerDriven && o.Loops != 1:
		return bad("Loops", o.Loops, "1 with CallerDriven")
	case o.Spin < 0:
		return bad("Spin", o.Spin, "positive, or 0 for none")
	case o.Balance < RoundRobin || o.Balance > ReusePort:
		return bad("Balance", int(o.Balance), "RoundRobin, LeastStreams, SourceHash or ReusePort")
	case o.Affinity != nil && len(o.Affinity) != o.Loops:
		return bad("Affinity", o.Affinity, fmt.Sprintf("one CPU for each of %d loops, or nil", o.Loops))
	case o.ExpectedStreams < 0:
		return bad("ExpectedStreams", o.ExpectedStreams, "positive, or 0")
	case o.MemoryLimit < 0:
		return bad("MemoryLimit", o.MemoryLimit, "positive, or 0 for none")
	}
	if err := o.uring().Check(); err != nil {
		return fmt.Errorf("tandem: Options.%w", err)
	}
	_, err := o.StreamOptions.Complete()
	return err
}

func (o *Options) uring() uring.Config {
	return uring.Config{
		Entries: o.UringEntries, CompletionEntries: o.UringCompletionEntries,
		Buffers: o.UringBuffers, BufferSize: o.UringBufferSize, Rung: o.UringRung,
		Sockets: o.ExpectedStreams / o.Loops,
	}
}

// choose decides for a backend and makes its drivers: the one place where that is done.
func (o *Options) choose() ([]backend.Driver, Info, error) {
	want, reason := o.Backend, "asked for by Options.Backend"
	if want == Auto {
		reason = "io_uring works here"
		if v := os.Getenv("TANDEM_BACKEND"); v != "" {
			if err := want.UnmarshalText([]byte(v)); err != nil {
				return nil, Info{}, fmt.Errorf("tandem: the environment variable TANDEM_BACKEND is wrong: %w", err)
			}
			if want != Auto {
				reason = "asked for by TANDEM_BACKEND"
			}
		}
	}
	var drivers []backend.Driver
	var err error
	info := Info{Backend: want, Kernel: backend.Kernel(), Loops: o.Loops, Reason: reason}
	if want != Epoll {
		info.Backend = Uring
		drivers, err = o.open(Uring)
		if err != nil && want == Auto && errors.Is(err, errors.ErrUnsupported) {
			want, info.Reason = Epoll, err.Error()
		}
	}
	if want == Epoll {
		info.Backend = Epoll
		drivers, err = o.open(Epoll)
	}
	if err != nil {
		return nil, Info{}, openError(err)
	}
	info.Features = drivers[0].Features()
	return drivers, info, nil
}

// open makes one driver for each loop. For io_uring a round trip over a socketpair comes first.
func (o *Options) open(b Backend) ([]backend.Driver, error) {
	if b == Uring {
		return uring.NewAll(o.uring(), o.Loops)
	}
	var drivers []backend.Driver
	for range o.Loops {
		d, err := epoll.New(epoll.Config{Sockets: o.ExpectedStreams / o.Loops, LockedThread: o.Affinity != nil})
		if err != nil {
			for _, d := range drivers {
				_ = d.Close()
			}
			return nil, err
		}
		drivers = append(drivers, d)
	}
	return drivers, nil
}

// Info implements Transport.
func (t *transport) Info() Info { return t.info }
