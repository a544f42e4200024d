package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Config is what an Engine is made of. The caller has checked and completed it.
type Config struct {
	Drivers      []backend.Driver // one for each loop; the Engine closes them
	Spin         time.Duration
	Affinity     []int // CPU of each loop; nil: none
	Balance      Balance
	CallerDriven bool
	Propagate    bool // let panics of callbacks crash the program
	Logger       *slog.Logger
	Debug        bool          // panic where a method is called on a goroutine that it does not belong to
	Trace        bool          // show callbacks in profiles and execution traces
	SlowCallback time.Duration // callbacks that run longer are logged, 0: none
	MemoryLimit  int64         // bytes that streams hold unread in all, 0: none
	Handshakes   int           // of TLS that run at once on a loop, in each direction; 0: 64
	MaxConns     int           // of listeners that have none, 0: no limit
	Clock        backend.Clock // nil: backend.SystemClock
	Stream       StreamOptions
}

// Engine owns loops, and all that runs on them.
type Engine struct {
	loops      []*loop
	defaults   StreamOptions
	balance    Balance
	driven     bool
	propagate  bool
	log        *slog.Logger
	clock      backend.Clock
	next       atomic.Uint64
	memory     memory
	buffers    backend.Pool // of NewBuffer
	handshakes int
	maxConns   int // of listeners that have none, 0: no limit
	conns      conns
	panics     panicLog
	debug      bool
	trace      bool
	files      fileCloser
	watch      *watch         // nil: nobody looks for slow callbacks
	dials      sync.WaitGroup // goroutines that look names up for a dial and make its sockets, those of TLS handshakes, and those that close files
	running    sync.WaitGroup // goroutines of loops

	lastResolver atomic.Pointer[guardedResolver]

	life      context.Context // ends with goDown, and with it what makes dials wait off the loops
	endLife   context.CancelFunc
	down      atomic.Bool // Shutdown was called: nothing new begins
	mu        sync.Mutex  // guards what follows
	listeners map[*listener]struct{}
	ended     chan struct{} // closed when everything is gone
	winding   chan struct{} // holds an item while a goroutine shuts a caller-driven engine down
	gone      int           // loops that have failed
	err       error         // why the last of them did, once no loop is left
	over      bool          // done is closed
	done      chan struct{} // closed when no loop is left
}

// New starts an Engine. If it returns an error, the drivers are closed.
func New(c Config) (*Engine, error) {
	e := &Engine{
		defaults: c.Stream, balance: c.Balance, driven: c.CallerDriven, propagate: c.Propagate, log: c.Logger, clock: c.Clock,
		listeners: map[*listener]struct{}{}, ended: make(chan struct{}), winding: make(chan struct{}, 1), done: make(chan struct{}),
		memory: memory{limit: c.MemoryLimit}, debug: c.Debug, trace: c.Trace,
		handshakes: cmp.Or(c.Handshakes, defaultTLSHandshakes), maxConns: c.MaxConns,
	}
	if e.clock == nil {
		e.clock = backend.SystemClock{}
	}
	if c.SlowCallback > 0 {
		e.watch = newWatch(e, c.SlowCallback)
	}
	if c.Stream.ReceiveFiles > 0 && !c.Drivers[0].PassesFiles() {
		err := fmt.Errorf("Options.ReceiveFiles is %d; this backend passes no files: %w", c.Stream.ReceiveFiles, errors.ErrUnsupported)
		for _, d := range c.Drivers {
			err = errors.Join(err, d.Close())
		}
		return nil, err
	}
	e.life, e.endLife = context.WithCancel(context.Background())
	for i, d := range c.Drivers {
		cpu := -1
		if len(c.Affinity) > 0 {
			cpu = c.Affinity[i]
		}
		e.loops = append(e.loops, newLoop(e, i, backend.LoopConfig{Driver: d, Spin: c.Spin, CPU: cpu, Clock: e.clock}))
	}
	if e.driven {
		return e, nil
	}
	started := make(chan error, len(e.loops))
	for _, l := range e.loops {
		e.running.Add(1)
		go e.run(l, started)
	}
	var err error
	for range e.loops {
		err = errors.Join(err, <-started)
	}
	if err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// onLoop reports whether the caller runs on one of the engine's loops, where waiting for a loop would be a deadlock.
func (e *Engine) onLoop() bool {
	for _, l := range e.loops {
		if l.OnLoop() {
			return true
		}
	}
	return false
}

// Poll runs one turn of a caller-driven engine on the calling goroutine, which must always be the same one, and waits
// at most timeout for something to happen, for ever if it is negative. It returns how many events there were.
func (e *Engine) Poll(timeout time.Duration) (int, error) {
	if !e.driven {
		return 0, errors.New("tandem: Poll: the Transport is not CallerDriven; its loops run by themselves")
	}
	select {
	case <-e.ended:
		return 0, net.ErrClosed
	default:
	}
	l := e.loops[0]
	if err := e.bind(l); err != nil {
		return 0, err
	}
	n, err := l.Step(timeout)
	switch {
	case errors.Is(err, backend.ErrOther): // a Shutdown has taken it over
		return n, net.ErrClosed
	case err != nil:
		return n, fmt.Errorf("tandem: Poll: %w", err)
	}
	return n, nil
}

func (e *Engine) bind(l *loop) error {
	err := l.Bind()
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, backend.ErrOther):
		return fmt.Errorf("tandem: Poll: %w", err)
	case e.down.Load():
		return net.ErrClosed
	}
	return errors.New("tandem: a CallerDriven Transport is polled by one goroutine, and this is another")
}

// sockets makes sockets for any of the loops.
func (e *Engine) sockets() backend.Sockets { return e.loops[0].Sockets }
