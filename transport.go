package tandem

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// Transport is a set of loops on one backend, with the listeners and streams on them. [Open] makes one. All methods may
// be called from any goroutine, unless they say otherwise. Other packages cannot implement Transport, so that it can
// grow.
type Transport interface {
	// Listen accepts connections on tcp, tcp4, tcp6, mptcp, mptcp4, mptcp6, unix or vsock. Each becomes a Stream of h. o may
	// be nil. Errors are *net.OpErrors, as of net.Listen.
	//
	// MPTCP (RFC 8684) and vsock are for epoll and io_uring. Where the kernel does not have them the error is
	// errors.ErrUnsupported, and says what would help; TCP is never taken in their place. A connection of MPTCP whose peer
	// does not speak it goes on as TCP by itself. It outlives its last path for net.mptcp.close_timeout, so that the
	// loss of a peer shows later than with TCP. Its addresses are *net.TCPAddr; those of vsock are *[VsockAddr], and
	// its address "any:1024", "local:1024", "host:1024" or "3:1024": a CID or a word for one, and a port.
	//
	// An address that is in use is tried again for up to 200 ms, except in a callback: when a process that used io_uring
	// has ended, the kernel frees its addresses some milliseconds late. A socket file at which nobody listens is
	// replaced.
	Listen(network, address string, h Handler, o *ListenOptions) (Listener, error)

	// Dial connects, on the networks that Listen has, and waits for the result, for ctx, and for o's Timeout. o may be
	// nil. Errors are *net.OpErrors, as of net.Dialer. In a callback, and on a CallerDriven Transport, nothing could
	// happen while it waits, so it returns an error; use Connect there.
	Dial(ctx context.Context, network, address string, h Handler, o *DialOptions) (*Stream, error)

	// Connect begins to connect, and returns without waiting: OnOpen, or OnClose alone, reports the result. What is
	// written before OnOpen is sent after it. The error is for arguments that no dial could honour, and for a Transport
	// that has ended. o may be nil.
	Connect(network, address string, h Handler, o *DialOptions) (*Stream, error)

	// Adopt makes a Stream of a connected socket from elsewhere, such as a *net.TCPConn or an *os.File. It duplicates
	// the descriptor, and closes c; if it returns an error, c is as it was. A Conn that Detach returned goes on with all
	// that it holds, unread and unsent. Adopt waits until it is live; in a callback the error is then one.
	Adopt(c syscall.Conn, h Handler) (*Stream, error)

	// Poll runs one turn, and waits at most timeout for something to happen; forever if timeout is negative. It returns
	// how many events there were. For CallerDriven Transports only, and always on the same goroutine.
	Poll(timeout time.Duration) (events int, err error)

	// Loop returns loop i, for work that belongs to no stream: the one whose number Stream.Loop returns. As with a slice, it
	// panics unless i is less than Info().Loops.
	Loop(i int) Loop

	// Info says which backend runs, how, and why not the other one.
	Info() Info

	// Stats returns the figures as of the end of each loop's last turn, in all and for each loop. To publish them:
	//
	//	expvar.Publish("tandem", expvar.Func(func() any { return t.Stats() }))
	//
	// A name can be published once in a process. All figures are there, also after Close; times are in nanoseconds. Those of
	// listeners are Listener.Stats. For Prometheus there is the module session/tandemprom.
	Stats() Stats

	// Done is closed when no loop is left: because all have failed, or when a Shutdown or Close has finished.
	Done() <-chan struct{}

	// Err returns nil while a loop is left. Afterwards it returns why the last loop failed, or net.ErrClosed after a
	// Shutdown or Close.
	Err() error

	// Shutdown stops accepting, refuses everything new with net.ErrClosed, and lets streams end: a Drainer closes its
	// streams itself, others are closed as by Close. When ctx ends, Shutdown aborts the rest and returns ctx.Err(). When
	// it returns nil, nothing of the Transport is left. It returns within 100 ms of ctx's end, whatever callbacks do: if
	// one of them blocks, the error names its stream, and still is ctx.Err(). In a callback Shutdown returns an error.
	//
	// Of a CallerDriven Transport the goroutine that polls should call it. Another one may, while that goroutine is in
	// Poll, or in no method of the Transport's streams and sessions. On io_uring, which cannot follow to another thread,
	// it then resets all streams, and returns an error if there are any.
	Shutdown(ctx context.Context) error

	// Close is a Shutdown that aborts at once. It waits for the end, and returns nil. If a callback blocks, it returns an
	// error; so it does in a callback.
	Close() error

	sealed()
}

// Info describes a Transport.
type Info struct {
	Backend  Backend  // Epoll, Uring or Portable; of a Transport that Simulated has opened, one whose text is "simulated"
	Kernel   string   // release of the running kernel
	Loops    int      // how many there are
	Features []string // what the backend uses of the kernel
	Reason   string   // why this backend, and why not the other
	MaxConns int      // the default of ListenOptions.MaxConns, by RLIMIT_NOFILE; 0: no limit
}

// String is Info in one line.
func (i Info) String() string {
	if i.Backend == onSimulated {
		return fmt.Sprintf("%s (%s)", i.Backend, strings.Join(i.Features, ", "))
	}
	system := i.Kernel
	if runtime.GOOS == "linux" {
		system = "Linux " + system
	}
	return fmt.Sprintf("%s on %s, %d loops (%s): %s", i.Backend, system, i.Loops, strings.Join(i.Features, ", "), i.Reason)
}

type transport struct {
	*session.Engine
	info Info
}

// Info implements Transport.
func (t *transport) Info() Info { return t.info }

func (*transport) sealed() {}
