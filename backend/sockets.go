package backend

import (
	"net"
	"os"
	"syscall"
	"time"
)

// Descriptor is an open socket of a driver, for those who must not know its number. The zero Descriptor is none.
type Descriptor struct {
	number int32 // the file descriptor, plus 1
}

// NewDescriptor is for drivers: the Descriptor of a file descriptor, which is less than 1<<31 - 1.
func NewDescriptor(fd int) Descriptor { return Descriptor{int32(fd + 1)} }

// FD is for drivers: the file descriptor, or -1.
func (d Descriptor) FD() int { return int(d.number) - 1 }

// Valid reports whether d is a socket.
func (d Descriptor) Valid() bool { return d.number > 0 }

// Sockets are the calls of a [Driver] that concern one socket and need no loop. Any goroutine may make them, also after
// the driver was closed. No call waits for a peer. The caller sees to it that the descriptor stays open meanwhile. Errors
// are the kernel's [syscall.Errno], or wrap it.
type Sockets interface {
	SocketTraffic
	SocketMaker
	SocketGiver
	SocketFiles
}

// SocketTraffic is what is done with a socket that is connected. Several of the calls are good for a listening one, too.
type SocketTraffic interface {
	// TrySend sends from p, and returns how many bytes the kernel took: 0 if it has no room.
	TrySend(d Descriptor, p []byte) (int, error)

	// TrySendVector is TrySend for at most MaxVector slices. The slice bufs itself is the caller's again when it returns.
	TrySendVector(d Descriptor, bufs [][]byte) (int, error)

	// TryReceive receives into p: 0 bytes if there are none now, io.EOF at the end of the stream.
	TryReceive(d Descriptor, p []byte) (int, error)

	// ShutdownWrite sends FIN behind what has been sent.
	ShutdownWrite(d Descriptor) error

	// CloseSocket closes the descriptor. Nothing in the kernel may refer to it any longer on behalf of the driver.
	CloseSocket(d Descriptor, how Closing)

	// TakeError returns the error with which a connection has failed, which the kernel tells once, or nil.
	TakeError(d Descriptor) error

	// HasInput reports whether there is something to receive.
	HasInput(d Descriptor) bool

	// Unsent is how many bytes of the send queue the peer's kernel has not taken yet.
	Unsent(d Descriptor) int

	// LocalAddress is the address of this end, RemoteAddress that of the other. The zero Address is one that is not
	// known.
	LocalAddress(d Descriptor) Address
	RemoteAddress(d Descriptor) Address

	// PeerCredentials is who has connected the other end of a Unix socket, or listened there. It returns
	// errors.ErrUnsupported where that cannot be known.
	PeerCredentials(d Descriptor) (PeerCredentials, error)

	// SetOptions sets options in their order, up to the first that fails.
	SetOptions(d Descriptor, options []SocketOption, at SocketPlace) error

	// Option returns the current value of o's option; o's own value is ignored.
	Option(d Descriptor, o SocketOption) (SocketOption, error)

	// Control calls f with the file descriptor, for users who set options by themselves.
	Control(d Descriptor, f func(fd uintptr))
}

// Closing says what becomes of the bytes of a socket that is closed. The zero value leaves that to the kernel.
type Closing struct {
	// Reset drops what is unsent, and resets a TCP connection.
	Reset bool

	// Discard is how many received bytes are dropped first, at most. The kernel answers a close that leaves some behind
	// with a reset, which destroys what the peer has not read yet of what was sent to it.
	Discard int
}

// SocketMaker makes sockets, or takes them over from elsewhere. They are non-blocking and close-on-exec.
type SocketMaker interface {
	// NewSocket makes a stream socket that is ready to connect to remote, with TCP_NODELAY and keep-alive set.
	NewSocket(remote Address, o DialSocket) (Descriptor, error)

	// BeginConnect begins to connect. If connected is false and there is no error, [Driver.Connect] tells the end.
	BeginConnect(d Descriptor, remote Address) (connected bool, err error)

	// Listen makes a socket that listens on the network tcp, tcp4, tcp6, unix or vsock. The error is a *net.OpError, as of
	// net.Listen; where there is no vsock it is errors.ErrUnsupported.
	Listen(network, address string, o ListenSocket) (Listening, error)

	// SetBacklog changes how many connections may wait until they are accepted.
	SetBacklog(d Descriptor, backlog int) error

	// MaxBacklog is the largest backlog that the kernel grants.
	MaxBacklog() int

	// AdoptListener duplicates a listening socket of the network, which may be mptcp, mptcp4 or mptcp6, too. The address is
	// known also if it is the wrong one. Unlink is for the file that a Unix socket has now.
	AdoptListener(network string, c syscall.Conn) (Listening, error)

	// Adopt duplicates a connected stream socket, with a lingering close switched off. It returns syscall.ENOTCONN for
	// anything else.
	Adopt(c syscall.Conn) (Descriptor, Address, error)
}

// DialSocket says how a socket is prepared that is to connect.
type DialSocket struct {
	// Options are set first.
	Options []SocketOption

	// Control is called after that with the network tcp4, tcp6, unix or vsock, and has the last word. The RawConn is good
	// until it returns. If it panics or ends the goroutine, the socket is closed. nil: none.
	Control func(network, address string, c syscall.RawConn) error

	// Multipath makes it a socket of MPTCP. Where there is none the error is errors.ErrUnsupported.
	Multipath bool

	// Local is the address to bind to. The zero Address: the kernel chooses.
	Local Address
}

// ListenSocket says how a socket is prepared that is to listen.
type ListenSocket struct {
	// Options are set first, after TCP_NODELAY and keep-alive.
	Options []SocketOption

	// Control is called after that, as in net.ListenConfig. nil: none.
	Control func(network, address string, c syscall.RawConn) error

	// UnixMode is the mode of the file of a Unix socket. There is no moment in which the file has a mode that allows more.
	// 0: what the umask leaves. A driver that cannot do this returns errors.ErrUnsupported; one without files need not.
	UnixMode os.FileMode

	// Multipath makes it a socket of MPTCP. Where there is none the error is errors.ErrUnsupported.
	Multipath bool

	// ReusePort lets several sockets share the address, and the kernel spread connections over them.
	ReusePort bool

	// Patience is how long an address that is taken is tried again, by Clock. GivenUp ends that early.
	Patience time.Duration
	GivenUp  func() bool
	Clock    Clock
}

// Listening is a socket that listens.
type Listening struct {
	Descriptor
	Addr net.Addr

	// Unlink removes the file of a Unix socket, unless it is another by now. It may wait so long
	// for others who are busy with the path. nil: there is no file.
	Unlink func(patience time.Duration)
}

// SocketGiver gives a socket away, as a connection of goroutines.
type SocketGiver interface {
	// Conn makes a Conn of a connected socket, to which no driver is attached. The descriptor is the Conn's from then on,
	// also if there is an error: then it is closed.
	Conn(d Descriptor, owner ConnOwner) (Conn, error)

	// File returns a file with a descriptor of its own for the socket, which stays non-blocking.
	File(d Descriptor) (*os.File, error)

	// HandOver returns a connection with a descriptor of its own for the socket, whose options stay as they are.
	HandOver(d Descriptor) (net.Conn, error)

	// HungUp reports whether a connection that HandOver returned is over in both directions.
	HungUp(c net.Conn) bool

	// DiscardInput drops what such a connection has received, up to limit bytes.
	DiscardInput(c net.Conn, limit int)
}
