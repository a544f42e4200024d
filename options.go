package tandem

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"

	uring "github.com/tandem-io/tandem/backend_uring"
)

// Options configure a Transport. The zero value is right for most programs. Open copies them.
type Options struct {
	// Backend is the kernel interface. Default Auto.
	Backend Backend

	// Loops is the number of loops, up to 1024. Default 0: GOMAXPROCS, or 1 if CallerDriven. Where as many loops as
	// GOMAXPROCS are under steady load, other goroutines may wait for a processor: up to 4 ms, and once up to 20 ms when
	// the load stops. With GOMAXPROCS 1 a loop that has kept others waiting gives way to them for the next 100 ms,
	// on io_uring only below 8,000 sleeps a second.
	Loops int

	// Affinity lists the CPU of each loop. Default nil: loops run on any CPU.
	Affinity []int

	// Spin is how long a loop polls for events before it sleeps. It saves the time to wake a sleeping CPU, and keeps
	// that CPU busy, until nothing but timers has happened for a second. On epoll, without Affinity, goroutines that
	// are ready run in between; on io_uring they need another CPU meanwhile. Default 0: none.
	Spin time.Duration

	// Balance says which loop a connection goes to. Default RoundRobin.
	Balance Balance

	// CallerDriven makes a Transport without goroutines: everything happens in Poll, on the goroutine that calls it.
	// Default false.
	CallerDriven bool

	// Propagate lets a panic in a callback crash the program. Default false: it ends its stream with a *PanicError.
	Propagate bool

	// SlowCallback is how long a callback may run before it is logged, with the stack it is at, and counted in LoopStats.
	// It is noticed within a quarter more than that. Nothing but the one message follows. Taking the stack stops the
	// program for a moment, longer with many goroutines. Default 0: 100 ms. Negative: none is looked for.
	SlowCallback time.Duration

	// Debug has methods of a Stream that belong to its loop panic when they are called on another goroutine, with the name
	// of the method: those that read, SetValue, SetHandler and StartTLS. Without it such a call is a data race. It costs some
	// nanoseconds for each call. For memory that is used after its loan there is the environment variable TANDEM_POISON=1,
	// which holds for the whole program: what was lent is filled with 0xDB when its time is over, so that who reads it sees
	// wrong bytes, and the program ends if it was written to. Default false.
	Debug bool

	// Trace shows what loops do to the tools of package runtime. The goroutine of each loop has the label tandem.loop with
	// its index in profiles (runtime/pprof), which goroutines that callbacks start inherit; that of a CallerDriven Transport
	// is the program's, and has none. In execution traces (runtime/trace) each callback is a region with its name, such as
	// "tandem OnData", and the stream's ID is logged. Default false.
	Trace bool

	// Logger gets messages for operators. Default nil: slog.Default().
	Logger *slog.Logger

	// ExpectedStreams sizes tables in advance. Default 0: they grow as streams come.
	ExpectedStreams int

	// MemoryLimit bounds how many bytes all streams of the Transport hold unread. Above it the streams that hold most
	// stop reading first; TCP slows their peers down, and nothing is lost. A stream may always hold its share of half
	// the limit, and one that holds nothing may read one piece, of at most 256 KiB. Messages should be smaller than
	// that share: a stream that has stopped in the middle of a message waits until others have read theirs. In bytes.
	// Default 0: none.
	MemoryLimit int64

	// TLSHandshakes is how many TLS handshakes run at once on each loop, of servers and as many of clients. Further ones
	// wait, and their peers' bytes wait unread in the kernel. A handshake whose peer is silent for 100 ms keeps nobody
	// waiting any longer. Default 0: 64.
	TLSHandshakes int

	// StreamOptions are the limits of all streams, where a listener or a dial does not set its own.
	StreamOptions

	// Uring sizes the rings. io_uring only.
	Uring UringOptions
}

// UringOptions are the sizes that io_uring needs to know in advance. The zero value is right for most programs.
type UringOptions struct {
	// Entries is the size of each loop's submission queue. A power of two between 1 and 32768; others are rounded up.
	// Default 1024.
	Entries int

	// CompletionEntries is the size of each loop's completion queue. A power of two, at least Entries and at most
	// 65536; others are rounded up. Default 8 times Entries.
	CompletionEntries int

	// Buffers is how many receive buffers a loop has to begin with, between 1 and 4096. When they run out their number
	// grows, up to eight times that. Default 128.
	Buffers int

	// BufferSize is the size of each receive buffer. In bytes, between 1 and 1 MiB. Default 16 KiB.
	BufferSize int

	// Rung is a knob for tests and comparisons: it makes io_uring work as on an older kernel. It is "defer", "coop",
	// "plain" or "oneshot", as the package backend_uring describes them. Default "": the best that works. Programs in
	// production leave it alone.
	Rung string
}

// complete fills in defaults, and names the first field that cannot be honoured.
func (o *Options) complete() error {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.SlowCallback == 0 {
		o.SlowCallback = 100 * time.Millisecond
	}
	if o.Loops == 0 {
		o.Loops = runtime.GOMAXPROCS(0)
		if o.CallerDriven {
			o.Loops = 1
		}
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := o.uring().Check(); err != nil {
		return fmt.Errorf("tandem: Options.Uring.%w", err)
	}
	if _, err := o.StreamOptions.Complete(); err != nil {
		return fmt.Errorf("tandem: Options.%w", err)
	}
	return nil
}

// check is complete for the fields that have no default to fill in.
func (o *Options) check() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("tandem: Options.%s is %v; it must be %s", field, value, want)
	}
	switch {
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
	case o.TLSHandshakes < 0:
		return bad("TLSHandshakes", o.TLSHandshakes, "positive, or 0 for 64")
	case o.MemoryLimit < 0:
		return bad("MemoryLimit", o.MemoryLimit, "positive, or 0 for none")
	}
	return nil
}

// uring is what the driver on io_uring needs to know.
func (o *Options) uring() uring.Config {
	return uring.Config{
		Entries: o.Uring.Entries, CompletionEntries: o.Uring.CompletionEntries,
		Buffers: o.Uring.Buffers, BufferSize: o.Uring.BufferSize, Rung: o.Uring.Rung,
		Sockets: o.ExpectedStreams / o.Loops, Outlived: o.CallerDriven, OwnCPU: o.Affinity != nil,
	}
}
