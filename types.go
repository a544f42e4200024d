package tandem

import (
	"os"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Types that package session declares, so that everything above a Transport can use them. An alias does not show the
// methods and fields of its type, so the comments here list them; TestAliases keeps the lists complete.

// Stream is one connection, TCP or Unix, on one loop of a Transport.
//
// Methods that write, pause, resume and end may be called from any goroutine. Reading methods, SetValue and SetHandler
// belong to the stream's loop: to callbacks of this stream or of another one on the loop, and to functions given to
// Post. None of them blocks. On a closed stream every method returns net.ErrClosed or does nothing.
//
// Reading, on the loop. What is not read stays, in front of what comes next:
//
//   - [session.Stream.Buffered] returns the number of unread bytes.
//   - [session.Stream.Peek] lends unread bytes until the callback returns.
//   - [session.Stream.Next] lends them and counts them as read.
//   - [session.Stream.Discard] drops them.
//   - [session.Stream.Read] copies them, as io.Reader says, and returns ErrWouldBlock when there are none.
//   - [session.Stream.WriteTo] copies all of them to a Writer, which may be this stream or another one.
//   - [session.Stream.Take] hands their memory over, as a Buffer.
//   - [session.Stream.TakeFiles] returns the files that have come with them over a Unix socket.
//
// Writing, from any goroutine. A write takes all of its bytes, or none and returns an error:
//
//   - [session.Stream.Write] queues bytes, which go out when the loop's turn ends, or at once from other goroutines.
//   - [session.Stream.Writev] queues several slices, which stay together.
//   - [session.Stream.WriteBuffer] queues a Buffer without copying it.
//   - [session.Stream.WriteNotify] calls a function when the kernel has taken the bytes.
//   - [session.Stream.WriteFiles] queues bytes, and passes open files with them over a Unix socket.
//   - [session.Stream.Flush] hands the queue to the kernel now.
//   - [session.Stream.Queued] returns how many bytes are queued.
//   - [session.Stream.Writable] reports whether the queue is in bounds; OnWritable follows when it is again.
//
// Back-pressure on the peer, from any goroutine:
//
//   - [session.Stream.PauseRead] stops OnData.
//   - [session.Stream.ResumeRead] goes on, and delivers what waits.
//
// Ending, from any goroutine. OnClose follows:
//
//   - [session.Stream.Close] sends what is queued, then closes.
//   - [session.Stream.CloseWrite] sends what is queued, then FIN; reading goes on.
//   - [session.Stream.Abort] drops what is queued, and resets the connection.
//   - [session.Stream.AbortWith] does the same with an error for OnClose.
//   - [session.Stream.Detach] gives the socket back as a net.Conn, with all bytes in both directions.
//
// Encryption, beside the TLS of ListenOptions and DialOptions:
//
//   - [session.Stream.StartTLS] encrypts what follows, on the loop.
//   - [session.Stream.TLS] returns what is known of the stream's TLS, from any goroutine.
//
// Time and work on the loop, from any goroutine:
//
//   - [session.Stream.SetIdleTimeout] ends a stream on which no byte comes or goes.
//   - [session.Stream.SetReadIdleTimeout] ends a stream on which no byte comes.
//   - [session.Stream.After] runs a function once, later.
//   - [session.Stream.Every] runs a function again and again.
//   - [session.Stream.Post] runs a function soon.
//
// What it is, and what the program keeps with it:
//
//   - [session.Stream.ID] is unique in the Transport.
//   - [session.Stream.Loop] is the index of its loop.
//   - [session.Stream.LocalAddr] is the address of this end.
//   - [session.Stream.RemoteAddr] is the address of the peer.
//   - [session.Stream.PeerCredentials] is who the peer of a Unix socket is.
//   - [session.Stream.Options] returns its limits.
//   - [session.Stream.Stats] returns its figures.
//   - [session.Stream.SetValue] keeps a value of the program's.
//   - [session.Stream.Value] returns it.
//   - [session.Stream.SetHandler] gives the stream another Handler.
//   - [session.Stream.SetSocketOption] sets an option of the socket.
//   - [session.Stream.SocketOption] reads one.
//   - [session.Stream.SyscallConn] gives access to the descriptor.
type Stream = session.Stream

// Loop is one loop of a Transport, for work that belongs to none of its streams. Transport.Loop returns it. Any goroutine may
// use it, also in callbacks, and no method blocks. Functions run on the loop, between the callbacks of its streams. A panic
// in one is logged, and ends nothing. Once the loop has ended all of these but Index and Stats return net.ErrClosed.
//
//   - [session.Loop.Index] is its number.
//   - [session.Loop.Post] runs a function soon.
//   - [session.Loop.After] runs a function once, later.
//   - [session.Loop.Every] runs a function again and again.
//   - [session.Loop.Each] calls a function for every stream: in a callback of the loop at once, elsewhere soon.
//   - [session.Loop.Stats] returns the figures of the loop.
type Loop = session.Loop

// Handler is a program's code for streams. One Handler may serve any number of them. All methods run on the stream's
// loop, one at a time for each stream, and must not block. Embed [BaseHandler] to write only those that matter.
//
//   - [session.Handler.OnOpen] comes first, when the stream is connected.
//   - [session.Handler.OnData] comes when there are new bytes to read.
//   - [session.Handler.OnEOF] comes when the peer has finished sending and all of it was delivered.
//   - [session.Handler.OnWritable] comes when a queue that was above HighWater has fallen under LowWater.
//   - [session.Handler.OnClose] comes once, last, with the error that ended the stream, or nil.
type Handler = session.Handler

// BaseHandler is a Handler whose methods do nothing: [session.BaseHandler.OnOpen], [session.BaseHandler.OnData],
// [session.BaseHandler.OnEOF], [session.BaseHandler.OnWritable] and [session.BaseHandler.OnClose]. Embed it, and write
// the methods that matter.
type BaseHandler = session.BaseHandler

// Drainer is a Handler that ends its streams itself when the Transport shuts down.
//
//   - [session.Drainer.OnDrain] is called when the Transport shuts down; the handler should close the stream when its work is done.
type Drainer = session.Drainer

// Buffer is memory that [session.Stream.Take] or [NewBuffer] has handed over. Its holder gives it back once, by Release or
// by [session.Stream.WriteBuffer]. Any goroutine may use it, one at a time.
//
//   - [session.Buffer.Bytes] returns the bytes, which may be changed unless they are shared.
//   - [session.Buffer.Share] returns another Buffer of the same bytes, to write them to several streams without a copy.
//   - [session.Buffer.Release] gives the memory back.
type Buffer = session.Buffer

// Timer is what After and Every of a Stream and of a Loop return.
//
//   - [session.Timer.Stop] keeps the function from running, and reports whether it did. Any goroutine.
type Timer = session.Timer

// StreamOptions are the limits and the behaviour of a stream. They are set for a Transport, and again for a listener or
// a dial, where a zero field means the Transport's.
//
// Memory, in bytes:
//
//   - [session.StreamOptions.ReadBufferLimit] stops reading at so many unread bytes. Default 1 MiB.
//   - [session.StreamOptions.WriteBufferLimit] refuses writes above so many queued bytes. Default 16 MiB.
//   - [session.StreamOptions.HighWater] stops reading, and makes Writable false, above so many queued bytes. Default 128 KiB.
//   - [session.StreamOptions.LowWater] goes on below so many. Default half of HighWater.
//   - [session.StreamOptions.ReadWhileBlocked] keeps reading above HighWater. Default false.
//   - [session.StreamOptions.ReceiveFiles] is how many files of a Unix socket's peer may wait. Default 0: none are received.
//   - [session.StreamOptions.TurnBudget] is what one stream may receive or send in one turn. Default 256 KiB.
//
// Ending:
//
//   - [session.StreamOptions.AllowHalfClose] keeps a stream open for writing after the peer's end. Default false.
//   - [session.StreamOptions.CloseTimeout] resets a closing stream whose peer takes no byte for so long. Default 5 s.
//   - [session.StreamOptions.IdleTimeout] ends a stream on which no byte comes or goes for so long. Default 0: none.
//   - [session.StreamOptions.ReadIdleTimeout] ends a stream on which no byte comes for so long. Default 0: none.
//   - [session.StreamOptions.HalfCloseTimeout] ends a half-closed stream on which nothing moves. Default 0: none.
//   - [session.StreamOptions.TLSHandshakeTimeout] bounds a TLS handshake. Default 10 s.
//
// Packages that open Transports fill in the defaults by [session.StreamOptions.Complete].
type StreamOptions = session.StreamOptions

// TLSState is what [session.Stream.TLS] returns: a tls.ConnectionState, and how the peer has ended.
//
//   - [session.TLSState.ConnectionState] is what crypto/tls says.
//   - [session.TLSState.Truncated] is set if the peer has finished without close_notify.
type TLSState = session.TLSState

// PeerCredentials are who the process at the other end of a Unix socket is, as [session.Stream.PeerCredentials] returns
// them.
//
//   - [backend.PeerCredentials.PID] is the process; 0 if this one cannot see it.
//   - [backend.PeerCredentials.UID] is its effective user.
//   - [backend.PeerCredentials.GID] is its effective group.
type PeerCredentials = backend.PeerCredentials

// VsockAddr is the address of a vsock, by which virtual machines and their host talk: a CID, which is the machine, and a port.
//
//   - [backend.VsockAddr.CID] is the machine: 1 this one, 2 the host, 4294967295 any.
//   - [backend.VsockAddr.Port] is the port.
//   - [backend.VsockAddr.Network] is "vsock".
//   - [backend.VsockAddr.String] is the address as Listen and Dial take it, such as "host:1024".
type VsockAddr = backend.VsockAddr

// StreamStats are a stream's figures. Counts are exact at the moment of the call, times to a turn of the loop, or to an eighth
// of Options.SlowCallback.
//
//   - [session.StreamStats.BytesIn] counts bytes received from the kernel.
//   - [session.StreamStats.BytesQueued] counts bytes that were given to writes.
//   - [session.StreamStats.BytesSent] counts those of them that the kernel took.
//   - [session.StreamStats.Opened] is when OnOpen was called.
//   - [session.StreamStats.LastRead] is when bytes last came.
//   - [session.StreamStats.LastWrite] is when the kernel last took bytes.
type StreamStats = session.StreamStats

// ListenOptions are the options of one listener. The zero value is right for most programs.
//
//   - [session.ListenOptions.Control] is called with the socket before it is bound.
//   - [session.ListenOptions.Socket] lists socket options, for the listener and what it accepts.
//   - [session.ListenOptions.From] is a listening socket from elsewhere, to use instead of binding one.
//   - [session.ListenOptions.FromAll] are several, of one address.
//   - [session.ListenOptions.UnixMode] is the mode of the file of a Unix socket. Default 0: what the umask leaves.
//   - [session.ListenOptions.Backlog] is how many connections may wait in the kernel. Default: the system's limit.
//   - [session.ListenOptions.MaxConns] is how many streams the listener may have at a time. Default: what descriptors allow, less
//     a reserve. Negative: no limit.
//   - [session.ListenOptions.RejectOverLimit] resets further connections, instead of letting them wait.
//   - [session.ListenOptions.PerSource] bounds what one address may have. Default: no such limits.
//   - [session.ListenOptions.TLS] encrypts accepted streams. Default nil: none.
//   - [session.ListenOptions.NotTLS] answers a peer that does not speak TLS.
//   - [session.ListenOptions.StreamOptions] are for accepted streams, where they differ from the Transport's.
type ListenOptions = session.ListenOptions

// SourceLimits bound what peers of one address may take of a listener. They are ListenOptions.PerSource. The address is that
// of the socket's peer: behind a proxy the proxy's, with or without a PROXY header.
//
//   - [session.SourceLimits.MaxConns] is how many connections a source may have at a time. Default 0: no limit.
//   - [session.SourceLimits.Rate] is how many connections of a source are accepted in a second. Default 0: no limit.
//   - [session.SourceLimits.Burst] is how many are accepted at once before Rate holds. Default: Rate, rounded up.
//   - [session.SourceLimits.IPv4Prefix] is how many bits of an address make a source. Default 32.
//   - [session.SourceLimits.IPv6Prefix] is the same for IPv6. Default 64.
//   - [session.SourceLimits.Sources] is how many sources without connections are remembered. Default 16,384.
type SourceLimits = session.SourceLimits

// Listener accepts connections, and makes streams of them, until it is closed. Transport.Listen makes one. Any goroutine
// may use it. Other packages cannot implement Listener, so that it can grow.
//
//   - [session.Listener.Addr] is the address that it listens on, with the port that the kernel chose.
//   - [session.Listener.Close] ends accepting, and no stream.
//   - [session.Listener.Err] is nil while it lives, and then says why it ended.
//   - [session.Listener.File] duplicates its socket, for another process that goes on listening.
//   - [session.Listener.Files] duplicates all its sockets, if it has several.
//   - [session.Listener.SetUnlinkOnClose] decides whether its end removes the file of a Unix socket.
//   - [session.Listener.Stats] returns its figures.
//   - [session.Listener.PauseAccept] lets connections wait in the backlog.
//   - [session.Listener.ResumeAccept] goes on accepting.
type Listener = session.Listener

// ListenerStats are a listener's figures.
//
//   - [session.ListenerStats.Accepted] counts connections.
//   - [session.ListenerStats.Errors] counts accepts that failed.
//   - [session.ListenerStats.Backoffs] counts waits for resources, such as descriptors.
//   - [session.ListenerStats.Rejected] counts connections reset above MaxConns.
//   - [session.ListenerStats.SourceRejected] counts connections reset because of PerSource.
//   - [session.ListenerStats.Streams] is how many streams there are now.
//   - [session.ListenerStats.Parked] is how many accepted connections wait for room, or for ResumeAccept.
//   - [session.ListenerStats.MaxConns] is how many streams there may be. 0: no limit.
type ListenerStats = session.ListenerStats

// DialOptions are the options of one dial. The zero value is right for most programs.
//
//   - [session.DialOptions.Timeout] bounds the whole dial. Default 0: only its context and the kernel do.
//   - [session.DialOptions.LocalAddr] is the address to dial from. Default nil: the kernel chooses.
//   - [session.DialOptions.Control] is called with each socket before it is connected.
//   - [session.DialOptions.ControlContext] is Control with the dial's context.
//   - [session.DialOptions.Resolver] looks names up. Default nil: net.DefaultResolver.
//   - [session.DialOptions.SameLoop] is a stream whose loop the new one shares. Default nil: Options.Balance chooses.
//   - [session.DialOptions.Socket] lists socket options.
//   - [session.DialOptions.TLS] encrypts the stream. Default nil: none.
//   - [session.DialOptions.StreamOptions] are for the stream, where they differ from the Transport's.
type DialOptions = session.DialOptions

// PanicError is what OnClose gets after a panic in a callback of the stream.
//
//   - [session.PanicError.Value] is what panic was called with.
//   - [session.PanicError.Stack] is the stack of the goroutine.
//   - [session.PanicError.Error] prints the value.
//   - [session.PanicError.Unwrap] returns the value if it is an error.
type PanicError = session.PanicError

// Balance says which loop a connection goes to.
//
//   - [session.Balance.String] returns the policy's name, such as "round-robin".
type Balance = session.Balance

// The policies of Balance.
const (
	RoundRobin   = session.RoundRobin   // each loop in turn (default)
	LeastStreams = session.LeastStreams // the loop with the fewest streams
	SourceHash   = session.SourceHash   // by the peer's IP address: one address, one loop
	ReusePort    = session.ReusePort    // a listening socket for each loop, and the kernel spreads: SO_REUSEPORT, socket(7)
)

// SocketOption is one option of a socket, with its value. Functions such as [NoDelay] make them. They go to
// ListenOptions.Socket, DialOptions.Socket, and [session.Stream.SetSocketOption].
//
// Unless its text says otherwise an option is for TCP, and may be set in all three places. Options of a listener hold
// for the streams that it accepts. They take effect in the order given. If the kernel would ignore an option, or cut its
// value short, that is an error, a *[SocketOptionError].
//
//   - [backend.SocketOption.Name] is its name, such as "nodelay".
//   - [backend.SocketOption.Value] is its value, of the type that its constructor takes.
//   - [backend.SocketOption.String] is both, such as "nodelay=on".
type SocketOption = backend.SocketOption

// SocketOptionError says which socket option could not be set or read, why, and what would help.
//
//   - [backend.SocketOptionError.Option] is the option.
//   - [backend.SocketOptionError.Err] is the cause.
//   - [backend.SocketOptionError.Cure] is what would help, or "".
//   - [backend.SocketOptionError.Error] prints all three.
//   - [backend.SocketOptionError.Unwrap] returns the cause.
type SocketOptionError = backend.SocketOptionError

// ErrWriteBufferFull is the error of a write for which there is no room below WriteBufferLimit. None of its bytes were
// taken.
var ErrWriteBufferFull = session.ErrWriteBufferFull

// ErrTooManyFiles is why a stream was reset whose peer has sent more files over a Unix socket than ReceiveFiles lets wait.
var ErrTooManyFiles = session.ErrTooManyFiles

// ErrWouldBlock is the error of Stream.Read when nothing is unread and more may come. It is a net.Error whose Timeout
// and Temporary are true.
var ErrWouldBlock = session.ErrWouldBlock

// InheritedListeners returns the sockets that a service manager such as systemd has opened for this process, by the
// protocol of sd_listen_fds(3), with their names. A second call returns none. Each goes to ListenOptions.From, or to
// Transport.Adopt; the caller closes it.
func InheritedListeners() ([]*os.File, error) { return backend.InheritedListeners() }
