package session

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// takenPatience is how long Listen tries an address that is taken.
const takenPatience = 200 * time.Millisecond

// open binds, or takes over what is bound already.
func (l *listener) open(network, address string, o *ListenOptions) ([]backend.Descriptor, error) {
	if o.From == nil {
		return l.bind(network, address, o)
	}
	at, err := l.engine.sockets().AdoptListener(network, o.From)
	l.addr = at.Addr
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: fmt.Errorf("take over a socket: %w", err)}
	}
	return []backend.Descriptor{at.Descriptor}, nil
}

// bind makes the listening sockets: one, or with ReusePort one for each loop.
func (l *listener) bind(network, address string, o *ListenOptions) (fds []backend.Descriptor, err error) {
	e, n := l.engine, 1
	plain, multipath, _ := plainNetwork(network)
	socket := backend.ListenSocket{
		Options: l.sockopt.options, Control: o.Control, ReusePort: e.balance == ReusePort && isTCP(plain), Multipath: multipath,
		UnixMode: o.UnixMode, Patience: l.patience(), GivenUp: e.down.Load, Clock: e.clock,
	}
	if socket.ReusePort {
		n = len(e.loops)
	}
	for range n {
		at, err := e.sockets().Listen(plain, address, socket)
		if err != nil {
			l.closeAll(fds)
			var op *net.OpError
			if multipath && errors.As(err, &op) {
				op.Net = network
			}
			return nil, err
		}
		l.addr, l.unlink = at.Addr, at.Unlink
		fds = append(fds, at.Descriptor)
		address = l.addr.String()
	}
	return fds, nil
}

// checkMode says why a listener cannot have the UnixMode that was asked for.
func checkMode(network, address string, o *ListenOptions) error {
	bad := func(why string) error {
		return fmt.Errorf("ListenOptions.UnixMode is %#o; %s", uint32(o.UnixMode), why)
	}
	switch {
	case o.UnixMode == 0:
	case o.UnixMode&^os.ModePerm != 0:
		return bad("only the permission bits, up to 0777, can be set")
	case network != "unix":
		return bad("only a Unix socket has a file")
	case o.From != nil:
		return bad("the socket of From has its file already")
	case address == "" || address[0] == '@' || address[0] == 0:
		return bad("an abstract name has no file, and anybody may connect: use a path, or Stream.PeerCredentials")
	}
	return nil
}

// removeFile removes the file of a Unix socket.
func (l *listener) removeFile() {
	if l.unlink != nil {
		l.unlink(l.patience())
	}
}

// patience is how long the caller may be made to wait: in a callback not at all.
func (l *listener) patience() time.Duration {
	if l.engine.inCallback() {
		return 0
	}
	return takenPatience
}

// inCallback reports whether the caller is a callback, and holds up a loop.
func (e *Engine) inCallback() bool {
	if e.driven {
		return e.loops[0].OnLoop() && e.loops[0].Stepping()
	}
	return e.onLoop()
}
