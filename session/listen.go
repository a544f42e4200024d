package session

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// ListenOptions are what one listener does differently. The zero value is right.
type ListenOptions struct {
	// Control is called with the socket before it is bound, as in net.ListenConfig; again for each attempt, if the
	// address is taken at first.
	Control func(network, address string, c syscall.RawConn) error

	// Socket are options of the listening socket and of all that it accepts, set before Control is called. They come
	// after the defaults, which are NoDelay(true) and KeepAlive(0, 0, 0). Default none.
	Socket []backend.SocketOption

	// From is a listening socket from elsewhere, such as an *os.File of InheritedListeners or a *net.TCPListener. It
	// is duplicated, used instead of binding, and stays the caller's; the file of a Unix socket, too, unless
	// SetUnlinkOnClose says otherwise. Control is not called. The network must be its network, the address is not looked
	// at.
	From syscall.Conn

	// FromAll is From for several sockets that listen at one address, such as those that Files returns of a listener with
	// ReusePort. They are spread over the loops. All must be used, because each has connections waiting of its own.
	// Default none; From must be nil then.
	FromAll []syscall.Conn
	// UnixMode is the mode of the file of a Unix socket: who may write to it may connect, and reading means nothing. The
	// umask does not limit it, and there is no moment in which the file has a wider one. Only permission bits are allowed;
	// 0 leaves the mode to the umask, and is the default. It is an error with other networks, with an abstract name, which
	// has no file, and with From. Where this cannot be done, as it can on Linux alone, the error is errors.ErrUnsupported.
	UnixMode os.FileMode

	// Backlog is how many connections may wait in the kernel until they are accepted, listen(2); Linux lets one more
	// wait. Default 0: the system's limit, net.core.somaxconn. More than that is an error. With From it holds for all
	// who share the socket, and with ReusePort for each loop.
	Backlog int

	// MaxConns is how many streams of this listener there may be at a time. Further connections wait in the backlog.
	// At most 64 of them are accepted already, or with ReusePort one for each loop if there are more loops than that;
	// they count as Parked. Those of ListenConn count as streams, from before Accept until Close. Negative: no limit.
	//
	// Default 0: what RLIMIT_NOFILE, getrlimit(2), allowed the process when the Transport was opened, less a reserve for
	// files, dials and other listeners: one descriptor in sixteen, at least 64, at most half of them. So connections wait
	// before accept fails for want of descriptors. Transport.Info tells the default, and ListenerStats what holds. There is
	// no limit where the system has none, and on Windows. Where several listeners share a process, each should have its own.
	MaxConns int

	// RejectOverLimit resets connections above MaxConns instead, also above its default.
	RejectOverLimit bool

	// PerSource bounds how many connections one address may have, and how fast it may make them. Those beyond are reset at
	// once, counted as ListenerStats.SourceRejected, and logged, at most one in a second. Only for TCP. Default: no
	// such limits.
	PerSource SourceLimits

	// TLS encrypts all accepted streams. OnOpen comes when the handshake is done; a connection whose handshake fails is
	// counted, logged at debug level, and never reaches the handler. The Config must not be changed any longer: it holds
	// the keys of session tickets. Its functions run on a goroutine of their own, where they may block; on a CallerDriven
	// Transport in Poll, where they must not. Rand, if it is set, is also read where bytes are encrypted: on the loop,
	// and by whoever writes. Default nil: no TLS.
	TLS *tls.Config

	// NotTLS is called for a peer whose first bytes are no TLS, such as a plain HTTP request; they are begins, the first
	// five. What it returns is sent to the peer before the connection is closed. It runs on the loop. Default nil:
	// nothing is sent.
	NotTLS func(begins []byte) (answer []byte)

	// StreamOptions are those of accepted streams, where they are not the Transport's.
	StreamOptions
}

// ListenerStats are a listener's figures.
type ListenerStats struct {
	Accepted       uint64 // connections
	Errors         uint64 // accepts that failed
	Backoffs       uint64 // times that it waited for resources: EMFILE, ENFILE, ENOBUFS, ENOMEM
	Rejected       uint64 // connections reset because of MaxConns and RejectOverLimit
	SourceRejected uint64 // connections reset because of PerSource
	Streams        int    // there are now; of ListenConn connections, those that wait for Accept included
	Parked         int    // connections that are accepted and wait for room below MaxConns, or for ResumeAccept
	MaxConns       int    // the limit of Streams, by default too; 0: none
}

// Listener accepts connections, and makes streams of them, until it is closed. Any goroutine may use it.
type Listener interface {
	// Addr is the address that is listened on; with port 0 asked for, the one that was given.
	Addr() net.Addr

	// Close ends accepting, and no stream. Connections that wait to be accepted are reset; with ReusePort also if
	// another process listens at the same address, because each socket has a backlog of its own. It is otherwise where
	// somebody else has the socket too: see File. When Close returns
	// nil the address is free; except in a callback, or on the goroutine of a caller-driven Transport, where that is
	// so when the loop's turn has ended. If a callback holds up the loop for more than 5 s, Close returns an error
	// that errors.Is(err, os.ErrDeadlineExceeded), and the address is free when the callback returns.
	Close() error

	// File returns a duplicate of the listening socket, for another process that goes on listening, or for
	// ListenOptions.From. It is close-on-exec, and the caller closes it. The error is net.ErrClosed if the listener has
	// ended, and errors.ErrUnsupported if it has several sockets, with ReusePort: use Files.
	//
	// From then on the listener shares its socket, as one of ListenOptions.From does, and Close drops nothing: connections
	// that wait in the kernel are left to the others. Those that were accepted already become streams, also above MaxConns
	// and after PauseAccept; with ListenConn, Accept returns them before it returns net.ErrClosed. Connections are lost
	// only where nobody else listens. Close also leaves the file of a Unix socket where it is, as by
	// SetUnlinkOnClose(false). A Shutdown ends what was accepted with all other streams: call Close first.
	File() (*os.File, error)

	// Files is File for a listener of any number of sockets. A connection waits at one of them, and is reset if that one
	// is closed everywhere: whoever goes on listening needs all, for ListenOptions.FromAll.
	Files() ([]*os.File, error)

	// SetUnlinkOnClose decides whether the end of the listener removes the file of its Unix socket, and returns what held
	// before. At first it does if Listen has created the file, and does not with From; File and Files switch it off. Of
	// several processes that share a socket the last one should remove the file. Without a file it does nothing.
	SetUnlinkOnClose(unlink bool) (before bool)

	// Err is nil while the listener lives, also while it is paused or waits for resources. After Close, or the
	// Transport's Shutdown, it is net.ErrClosed. If the listener ended by itself, because its socket or its loops
	// failed, it is a *net.OpError with the cause, also after a later Close. A listener of several sockets, with
	// ReusePort, lives while one of them does.
	Err() error

	// Stats returns the listener's figures.
	Stats() ListenerStats

	// PauseAccept stops accepting until ResumeAccept: connections wait in the backlog, and streams live on. It does
	// not block; a connection that was accepted just before may still become a stream, and one that the kernel
	// accepts meanwhile waits as if it were in the backlog. Pausing twice is pausing once.
	PauseAccept()

	// ResumeAccept goes on accepting after PauseAccept. Without a pause it does nothing.
	ResumeAccept()

	sealed() // only this package implements it, so that it can grow
}

// listener is a Listener, with a socket on one loop or more.
type listener struct {
	engine    *Engine
	handler   Handler
	opts      *origin // of its streams
	sockopt   socketOptions
	network   string
	max       int64 // MaxConns or its default, 0: none
	boundFrom int64 // from so many streams on accepts are bounded, if there is a max
	reject    bool
	addr      net.Addr
	unlink    func(patience time.Duration) // removes the file of a Unix socket; nil: there is none
	tls       *tls.Config                  // nil: none
	notTLS    func(begins []byte) []byte   // or nil
	conns     *connQueue                   // where connections wait for Accept; nil: they become streams
	sources   *sources                     // nil: they are not counted

	mu      sync.Mutex      // guards what follows
	heads   []*listenSocket // replaced when it changes, so that a copy stays valid without the lock
	sockets int             // that have not failed
	err     error           // why it has ended
	unlinks bool            // the end calls unlink
	onEnd   func()          // called when it has; nil: nobody asks

	shared                               atomic.Bool // others have the socket, too
	accepted, errors, backoffs, rejected atomic.Uint64

	live    atomic.Int64 // streams that have not ended, and connections that are about to become one
	parked  atomic.Int64
	waiting atomic.Int32 // listenSockets that are at MaxConns: a stream that ends has to wake them
	paused  atomic.Bool
}

// Listen opens a listener on tcp, tcp4, tcp6, unix or vsock, or with MPTCP on mptcp, mptcp4 or mptcp6. Every accepted
// connection becomes a stream of h. Errors are *net.OpError as of net.Listen: net.ErrClosed once the Transport shuts down,
// and the cause if its loops have failed.
//
// An address that is taken is tried again for up to 200 ms, except in a callback: when a process has ended that used
// io_uring, the kernel frees its addresses some milliseconds late. A program that is about to exit, or to exec itself,
// avoids that by closing its Transport first. At the path of a Unix socket this happens only if the process that
// listened there is gone. A socket file at which nobody listens any longer is replaced, so that of several processes
// that do this at once one succeeds. For that moment there is an empty file beside it, with ".tandem-lock" appended to
// its name.
func (e *Engine) Listen(network, address string, h Handler, o *ListenOptions) (Listener, error) {
	l, err := e.listen(network, address, h, o, nil)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// listen is Listen for streams, or with a queue for connections that Accept takes from there.
func (e *Engine) listen(network, address string, h Handler, o *ListenOptions, q *connQueue) (*listener, error) {
	var mine ListenOptions
	if o != nil {
		mine = *o
	}
	l, err := e.newListener(network, h, &mine)
	if err == nil {
		err = checkMode(network, address, &mine)
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	l.conns = q
	fds, err := l.open(network, address, &mine)
	if err != nil {
		return nil, err
	}
	if err := l.prepare(fds, &mine); err != nil {
		l.removeFile()
		l.closeAll(fds)
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	if err := l.start(fds); err != nil {
		l.end(err)
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	return l, nil
}

// newListener checks what was asked for.
func (e *Engine) newListener(network string, h Handler, o *ListenOptions) (*listener, error) {
	plain, _, err := plainNetwork(network)
	if err != nil {
		return nil, err
	}
	opts, err := o.StreamOptions.withDefaultsFrom(e.defaults).Complete()
	bad, badTLS, badSource := checkHandler(h), checkTLS(o.TLS, true), o.PerSource.check(network)
	switch {
	case bad != nil:
		return nil, bad
	case err != nil:
		return nil, fmt.Errorf("ListenOptions.%w", err)
	case badTLS != nil:
		return nil, fmt.Errorf("ListenOptions.%w", badTLS)
	case badSource != nil:
		return nil, fmt.Errorf("ListenOptions.%w", badSource)
	case o.From != nil && o.FromAll != nil:
		return nil, errors.New("ListenOptions.From and FromAll are both set")
	case o.Backlog < 0:
		return nil, fmt.Errorf("ListenOptions.Backlog is %d; it must be positive, or 0 for the system's limit", o.Backlog)
	case o.Backlog > 0 && o.Backlog > e.sockets().MaxBacklog():
		return nil, fmt.Errorf("ListenOptions.Backlog is %d; the kernel allows %d: raise net.core.somaxconn", o.Backlog, e.sockets().MaxBacklog())
	case e.down.Load():
		return nil, net.ErrClosed
	}
	l := &listener{
		engine: e, handler: h, network: network, reject: o.RejectOverLimit,
		tls: o.TLS, notTLS: o.NotTLS, sources: newSources(o.PerSource),
	}
	l.opts = &origin{StreamOptions: *opts, from: l}
	l.shared.Store(o.inherits())
	l.limit(o)
	if l.sockopt, err = newSocketOptions(plain, backend.OnListener, o.Socket); err != nil {
		return nil, err
	}
	return l, e.checkFiles("ListenOptions", network, o.TLS != nil, o.ReceiveFiles, &l.opts.StreamOptions)
}

// limit decides how many streams there may be.
func (l *listener) limit(o *ListenOptions) {
	switch {
	case o.MaxConns > 0:
		l.max = int64(o.MaxConns)
	case o.MaxConns == 0 && l.engine.maxConns > 0:
		l.max = int64(l.engine.maxConns)
		backlog := cmp.Or(o.Backlog, l.engine.sockets().MaxBacklog())
		if l.engine.balance == ReusePort {
			backlog *= len(l.engine.loops)
		}
		if half := l.max / 2; half >= int64(backlog) {
			l.boundFrom = half // an accept that is not bounded is cheaper, and may bring the whole backlog when it is ended
		}
	}
}

// prepare sets what can be set only on sockets that listen.
func (l *listener) prepare(fds []backend.Descriptor, o *ListenOptions) error {
	for _, fd := range fds {
		if o.Backlog == 0 {
			break
		}
		if err := l.engine.sockets().SetBacklog(fd, o.Backlog); err != nil {
			return err
		}
	}
	return l.sockopt.listening(l.engine.sockets(), fds, o.inherits())
}

// start spreads the sockets over the loops, and begins to accept. From then on they belong to the listenSockets; if it
// returns an error, they are closed.
func (l *listener) start(fds []backend.Descriptor) error {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() {
		l.closeAll(fds)
		return net.ErrClosed
	}
	first := int(e.next.Load()) // listeners of several ports do not all accept on the first loop
	if len(e.loops) > 1 {
		e.next.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, fd := range fds {
		a := newListenSocket(l, fd)
		if !a.startOnOne(first + i) {
			e.sockets().CloseSocket(fd, backend.Closing{})
			continue
		}
		l.heads = append(l.heads, a)
		l.sockets++
	}
	if l.sockets == 0 {
		return e.deadCause()
	}
	e.listeners[l] = struct{}{}
	return nil
}

// startOnOne has a begin on the first loop that lives, in turn from the one with that index. False: none does, or the
// engine shuts down.
func (a *listenSocket) startOnOne(first int) bool {
	loops := a.listener.engine.loops
	for i := range loops {
		a.loop = loops[(first+i)%len(loops)]
		if a.loop.dead.Load() {
			continue
		}
		a.loop.listening.add(a)
		if a.loop.begin(a.start) == nil {
			return true
		}
		a.loop.listening.remove(a)
	}
	return false
}

// deadCause is why nothing can begin on any loop. The engine's mu is held.
func (e *Engine) deadCause() error {
	if e.err != nil {
		return e.err
	}
	return fmt.Errorf("all loops have failed: %w", net.ErrClosed)
}

func (*listener) sealed() {}

// Addr implements Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// Stats implements Listener.
func (l *listener) Stats() ListenerStats {
	s := ListenerStats{
		Accepted: l.accepted.Load(), Errors: l.errors.Load(), Backoffs: l.backoffs.Load(), Rejected: l.rejected.Load(),
		Streams: int(l.live.Load()), Parked: int(l.parked.Load()), MaxConns: int(l.max),
	}
	if l.sources != nil {
		s.SourceRejected = l.sources.rejected.Load()
	}
	return s
}

func (l *listener) closeAll(fds []backend.Descriptor) {
	for _, fd := range fds {
		l.engine.sockets().CloseSocket(fd, backend.Closing{})
	}
}
