// Package tandem provides one Stream API over two Linux I/O interfaces, epoll and io_uring. A program that serves many
// TCP and Unix connections with a few goroutines is written once, and behaves the same on either.
//
//	your code        Handler: OnOpen, OnData, OnEOF, OnWritable, OnClose
//	    │
//	session          Stream, Listener, dials: what a connection promises
//	    │
//	backend          loops, timers, and the contract of a driver
//	   ╱ ╲
//	epoll uring      move bytes
//
// [Open] opens a [Transport], which owns some loops; each is one goroutine with one poller. Transport.Listen,
// Transport.Dial and Transport.Connect make a [Stream] of each connection. It lives on one loop, and its [Handler] is
// called there, one callback at a time. Callbacks must not block; any goroutine may write.
//
//	type echo struct{ tandem.BaseHandler }
//
//	func (echo) OnData(s *tandem.Stream) {
//		_, _ = s.WriteTo(s) // fails only if the stream has ended, and OnClose says why
//	}
//
//	t, err := tandem.Open(nil)
//	…
//	l, err := t.Listen("tcp", "127.0.0.1:7000", echo{}, nil)
//
// # Which interface to use
//
// Use callbacks, a [Handler], if your protocol is a stream of bytes, or if you want full control: a proxy, a protocol
// with a parser of its own, back-pressure between two connections. OnData sees bytes, in pieces whose boundaries mean
// nothing. Frames and polled sessions are built on callbacks.
//
// Use frames, [session.Frames] with a codec of package [github.com/tandem-io/tandem/frame], if your protocol consists of
// messages. Your function is called once for each whole message, decoded in place; limits and timeouts for half a message
// are kept for you. Package frame has codecs for length prefixes, delimiters and lines, and frame/http1 for HTTP/1.
// [session.WriteFrame] sends messages. A frame handler is a Handler, so limits, timers and writing work as they do for
// callbacks.
//
// Use polled sessions if your program has a loop of its own, a duty cycle, and must decide itself when the network has
// its turn: a trading engine, a game, a simulation, a client that does nothing else. Nothing waits, nothing is called
// back, and with Options.CallerDriven there is no goroutine at all. A session is used by one goroutine, so it needs no
// locks. Package [github.com/tandem-io/tandem/session/polled] has sessions of bytes and of messages;
// [github.com/tandem-io/tandem/session/httpsession] has an HTTP client, a server, and a pool of connections.
//
// Use a [net.Conn] if the code that reads is written for one and blocks: a library that takes a connection, TLS by
// crypto/tls, anything with a goroutine for each connection. [ListenConn] and [DialConn] make connections that are
// net.Conns from the beginning. Loops accept and dial them, and the Transport counts, bounds and ends them, but no loop
// carries their bytes: goroutines wait in Go's own poller, on both backends, and io_uring has no part in it. Streams are
// no net.Conns. If a connection begins as a Stream and has to go on as a net.Conn, as after a protocol upgrade,
// [session.Stream.Detach] gives it back, with every byte in both directions. Transport.Adopt goes the other way.
//
//	            unit       who calls whom       goroutines
//	callbacks   bytes      tandem calls you     one for each loop
//	frames      messages   tandem calls you     one for each loop
//	polled      either     you call tandem      yours; and one for each loop, unless CallerDriven
//	net.Conn    bytes      you call, and wait   one for each connection
//
// # Errors
//
// Errors are the standard library's where it has one. Those of Transport.Listen, Transport.Dial and Transport.Connect are
// of type [*net.OpError]. What ends a connection against its will, such as a reset by the peer, a failed write, or the end of
// its loop, reaches OnClose as a *net.OpError with operation and addresses, which wraps the errno. The other ends are
// these:
//
//	nil                          Close, or the peer's end, after everything was sent; Detach
//	net.ErrClosed                Abort; Shutdown or Close of the Transport, when it aborts
//	os.ErrDeadlineExceeded       IdleTimeout, ReadIdleTimeout, HalfCloseTimeout, CloseTimeout; wrapped: MessageTimeout
//	the error of AbortWith       AbortWith
//	*PanicError                  a panic in a callback
//	*frame.Error                 a peer that sends what the codec of a frame handler refuses
//
// Methods of a Stream return [net.ErrClosed] after its end. Reading returns [ErrWouldBlock] when nothing is unread,
// [io.EOF] after the peer's end, and [io.ErrShortBuffer] when there are fewer bytes than were asked for; writing returns
// [ErrWriteBufferFull]. Errors of Options, and of the Transport itself, begin with "tandem: ".
//
// # Choosing a backend
//
// Options.Backend is [Auto] by default: io_uring if a round trip works, else epoll. The environment variable
// TANDEM_BACKEND, "auto", "epoll", "uring" or "portable", decides for programs that leave it at Auto. Transport.Info says
// which backend runs, and why not the others. On systems other than Linux Auto means [Portable], goroutines over package
// net.
//
// # Log
//
// Options.Logger gets what an operator may have to act on: at level error what has ended or gone wrong for good, at level
// warning what goes on by itself, at level info that the Transport was opened, and at level debug handshakes of TLS that have
// failed. Messages begin with the name of their package, "tandem: " or "httpsession: ". What a peer can bring about is logged
// at most once a second, panics and slow callbacks ten times; skipped says how many messages of the kind were left out since
// the last one. Each key means the same in all messages:
//
//	backend    name of the backend
//	callback   which callback ran, such as OnData
//	cure       what would help
//	duration   how long it has run
//	error      the cause
//	features   what the backend uses of the kernel
//	limit      a limit that was reached, in bytes
//	listener   address that is listened on
//	loop       index of the loop, as of Transport.Loop
//	loops      how many loops there are
//	max_conns  the default of ListenOptions.MaxConns; 0: no limit
//	method     of an HTTP request
//	option     name of the option that decided
//	panic      what panic was called with
//	path       of an HTTP request
//	queued     bytes that wait to be sent
//	reason     why this backend, and why not another
//	remote     address of the peer
//	retry_in   when it is tried again, from now
//	skipped    messages of the same kind that were left out
//	stack      stack of the goroutine
//	stream     ID of the stream, as of Stream.ID
//	streams    how many streams
//	unread     bytes that were received and not read
//
// # Tests of programs
//
// [Simulated] opens a Transport without sockets, on a kernel that is a program: package
// [github.com/tandem-io/tandem/backend/simulated]. Time passes only in Poll, and a seed decides what happens.
//
// What every backend promises is in session/CONTRACT.md, each rule with its test.
package tandem
