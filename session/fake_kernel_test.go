package session

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// fakeSocket is a socket of a fakeKernel, with what its peer does.
type fakeSocket struct {
	sock   *backend.Socket // nil: not attached
	driver *fakeDriver     // to which it is attached, and that has not let go of it

	receiving, accepting, connecting bool // what the driver was asked for
	sending                          bool // a Send found no room, or is answered later
	later                            bool // every Send is answered by Sent, and reads its bytes until then
	lent                             [][]byte

	in      []byte // what the peer has sent
	eof     bool   // and then finished
	failure error  // or failed
	backlog []any  // *fakeSocket or error, for a listener
	answer  error  // of the connect; errPending: none yet
	room    int    // how many bytes the kernel takes
	out     []byte // what it took
	fin     bool
	closed  bool
	how     backend.Closing
	options []backend.SocketOption
	local   backend.Address // instead of "local"
	peer    backend.Address
}

// fakeKernel implements backend.Sockets for any number of drivers.
type fakeKernel struct {
	fakeFiles
	mu       sync.Mutex // guards what follows; the sockets belong to the test's goroutine
	sockets  []*fakeSocket
	refuse   error // of NewSocket, Listen, Adopt, HandOver and Attach, and of options
	refuseOf error // of options alone
	onSocket func(*fakeSocket)
	unlinked int
	given    []net.Conn // the test's ends of what HandOver returned
}

var errPending = backend.ErrPending

const plenty = 1 << 30

func (k *fakeKernel) socket() (*fakeSocket, backend.Descriptor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := &fakeSocket{room: plenty, answer: errPending}
	k.sockets = append(k.sockets, f)
	return f, backend.NewDescriptor(len(k.sockets) - 1)
}

func (k *fakeKernel) of(d backend.Descriptor) *fakeSocket {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sockets[d.FD()]
}

func (k *fakeKernel) TrySend(d backend.Descriptor, p []byte) (int, error) {
	return k.TrySendVector(d, [][]byte{p})
}

func (k *fakeKernel) TrySendVector(d backend.Descriptor, bufs [][]byte) (n int, err error) {
	f := k.of(d)
	if f.failure != nil {
		return 0, f.failure
	}
	for _, p := range bufs {
		took := min(len(p), f.room)
		f.out = append(f.out, p[:took]...)
		f.room -= took
		n += took
	}
	return n, nil
}

func (k *fakeKernel) TryReceive(d backend.Descriptor, p []byte) (int, error) {
	f := k.of(d)
	n := copy(p, f.in)
	f.in = f.in[n:]
	if n == 0 && f.eof {
		return 0, io.EOF
	}
	return n, nil
}

func (k *fakeKernel) ShutdownWrite(d backend.Descriptor) error { k.of(d).fin = true; return nil }

func (k *fakeKernel) CloseSocket(d backend.Descriptor, how backend.Closing) {
	f := k.of(d)
	switch {
	case f.closed:
		panic("a descriptor is closed twice")
	case f.driver != nil:
		panic("a descriptor is closed that a driver has not let go of")
	}
	f.closed, f.how = true, how
}

func (k *fakeKernel) TakeError(d backend.Descriptor) error { return k.of(d).failure }

func (k *fakeKernel) HasInput(d backend.Descriptor) bool { return len(k.of(d).in) > 0 }

func (k *fakeKernel) Unsent(backend.Descriptor) int { return 0 }

func (k *fakeKernel) LocalAddress(d backend.Descriptor) backend.Address {
	if local := k.of(d).local; local.Kind != backend.NoAddress {
		return local
	}
	return fakeAddress("local")
}

func (k *fakeKernel) RemoteAddress(d backend.Descriptor) backend.Address { return k.of(d).peer }

func (k *fakeKernel) PeerCredentials(backend.Descriptor) (backend.PeerCredentials, error) {
	return backend.PeerCredentials{PID: 1, UID: 2, GID: 3}, k.refuse
}

func (k *fakeKernel) SetOptions(d backend.Descriptor, o []backend.SocketOption, _ backend.SocketPlace) error {
	k.of(d).options = append(k.of(d).options, o...)
	return cmp.Or(k.refuseOf, k.refuse)
}

func (k *fakeKernel) Option(backend.Descriptor, backend.SocketOption) (backend.SocketOption, error) {
	return backend.NoDelay(true), k.refuse
}

func (k *fakeKernel) Control(d backend.Descriptor, f func(uintptr)) { f(uintptr(d.FD())) }

func (k *fakeKernel) NewSocket(_ backend.Address, o backend.DialSocket) (backend.Descriptor, error) {
	if k.refuse != nil {
		return backend.Descriptor{}, k.refuse
	}
	if o.Control != nil {
		if err := o.Control("tcp4", "", nil); err != nil {
			return backend.Descriptor{}, err
		}
	}
	f, d := k.socket()
	if k.onSocket != nil {
		k.onSocket(f)
	}
	return d, nil
}

func (k *fakeKernel) BeginConnect(d backend.Descriptor, remote backend.Address) (bool, error) {
	f := k.of(d)
	f.peer = remote
	if f.answer == errPending {
		return false, nil
	}
	return f.answer == nil, f.answer
}

func (k *fakeKernel) Listen(string, string, backend.ListenSocket) (backend.Listening, error) {
	if k.refuse != nil {
		return backend.Listening{}, k.refuse
	}
	_, d := k.socket()
	return backend.Listening{
		Descriptor: d, Addr: fakeAddress("listener").NetAddr(), Unlink: func(time.Duration) { k.unlinked++ },
	}, nil
}

func (k *fakeKernel) SetBacklog(backend.Descriptor, int) error { return cmp.Or(k.refuseOf, k.refuse) }

func (k *fakeKernel) MaxBacklog() int { return 4096 }

func (k *fakeKernel) AdoptListener(string, syscall.Conn) (backend.Listening, error) {
	return k.Listen("", "", backend.ListenSocket{})
}

func (k *fakeKernel) Adopt(syscall.Conn) (backend.Descriptor, backend.Address, error) {
	if k.refuse != nil {
		return backend.Descriptor{}, backend.Address{}, k.refuse
	}
	f, d := k.socket()
	f.peer = fakeAddress("peer")
	return d, f.peer, nil
}

func (k *fakeKernel) HandOver(backend.Descriptor) (net.Conn, error) {
	if k.refuse != nil {
		return nil, k.refuse
	}
	ours, theirs := net.Pipe()
	k.given = append(k.given, theirs)
	return halfPipe{ours}, nil
}

// halfPipe is a pipe whose sending side may be shut down. Nothing comes of it.
type halfPipe struct{ net.Conn }

func (halfPipe) CloseWrite() error { return nil }

func (k *fakeKernel) Conn(backend.Descriptor, backend.ConnOwner) (backend.Conn, error) {
	return nil, errors.ErrUnsupported
}

func (k *fakeKernel) HungUp(net.Conn) bool { return false }

func (k *fakeKernel) DiscardInput(net.Conn, int) {}

func fakeAddress(name string) backend.Address {
	return backend.Address{Unix: name, Kind: backend.UnixAddress}
}

func (f *fakeSocket) got() string { return string(f.out) }

func (f *fakeSocket) send(s string) { f.in = append(f.in, s...) }
