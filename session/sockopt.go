package session

import (
	"net"
	"slices"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// SetSocketOption sets an option of the stream's socket. Any goroutine, also in callbacks; it holds up writers
// meanwhile. While the stream is being dialled it is an error that errors.Is(err, syscall.ENOTCONN); what is to be set
// then belongs in DialOptions.Socket. Errors are *net.OpError with a *backend.SocketOptionError, and net.ErrClosed after
// the end. A value that the kernel cut short is an error too, and in force.
func (s *Stream) SetSocketOption(o backend.SocketOption) error {
	return s.withSocket("set", func(fd backend.Descriptor) error {
		return s.loop.Sockets.SetOptions(fd, []backend.SocketOption{o}, backend.OnStream)
	})
}

// SocketOption reads the current value of o's option, as in SocketOption(tandem.NoDelay(true)); o's own value is ignored.
// It is the value that the kernel has, which for ReceiveBuffer and SendBuffer is twice what was set. Any
// goroutine. Errors are those of SetSocketOption.
func (s *Stream) SocketOption(o backend.SocketOption) (got backend.SocketOption, err error) {
	err = s.withSocket("get", func(fd backend.Descriptor) error {
		got, err = s.loop.Sockets.Option(fd, o)
		return err
	})
	return got, err
}

// withSocket calls do with the descriptor, which stays open meanwhile because finish closes it under the same lock.
func (s *Stream) withSocket(op string, do func(backend.Descriptor) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case s.fd.Valid() && s.life.handOff() == nil:
		err = do(s.fd)
	case s.life.phase == dialing:
		err = syscall.ENOTCONN
	default:
		return net.ErrClosed
	}
	if err == nil {
		return nil
	}
	failed := &net.OpError{Op: op, Source: s.ends.Local().NetAddr(), Addr: s.ends.Remote().NetAddr(), Err: err}
	if failed.Source != nil {
		failed.Net = failed.Source.Network()
	}
	return failed
}

// socketOptions are those of a listener or a dial.
type socketOptions struct {
	place   backend.SocketPlace
	options []backend.SocketOption // before bind or connect
	reapply []backend.SocketOption // of these, such as have to be set on the connected socket too
}

func newSocketOptions(network string, place backend.SocketPlace, options []backend.SocketOption) (socketOptions, error) {
	if err := backend.CheckSocketOptions(network, options, place); err != nil {
		return socketOptions{}, err
	}
	reapply := backend.OptionsToReapply(network, options, place)
	return socketOptions{place: place, options: slices.Clone(options), reapply: reapply}, nil
}

// connected sets what a connected socket has not kept, or not inherited.
func (p *socketOptions) connected(sockets backend.Sockets, fd backend.Descriptor) error {
	if len(p.reapply) == 0 {
		return nil
	}
	return sockets.SetOptions(fd, p.reapply, p.place)
}

// listening is for sockets that listen, before anything is accepted. What came from elsewhere was not prepared, and
// listen(2) has undone some of what the others were given.
func (p *socketOptions) listening(sockets backend.Sockets, fds []backend.Descriptor, fromElsewhere bool) error {
	options := p.reapply
	if fromElsewhere {
		options = p.options
	}
	for _, fd := range fds {
		if err := sockets.SetOptions(fd, options, p.place); err != nil {
			return err
		}
	}
	return nil
}
