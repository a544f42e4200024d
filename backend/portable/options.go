package portable

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// SetOptions implements backend.Sockets. Package net alone sets them on connections: those of a listener on what it
// accepts, and those of a dial when it has connected.
func (s *sockets) SetOptions(d backend.Descriptor, options []backend.SocketOption, at backend.SocketPlace) error {
	f := s.at(d)
	if s.native {
		return within(f.control, func(fd uintptr) error { return setNative(fd, options, at) })
	}
	return f.remember(options)
}

// Option implements backend.Sockets. Package net alone returns what was set, or what it sets by itself.
func (s *sockets) Option(d backend.Descriptor, o backend.SocketOption) (backend.SocketOption, error) {
	f := s.at(d)
	if s.native {
		var got backend.SocketOption
		var err error
		if outer := f.control(func(fd uintptr) { got, err = getNative(fd, o) }); outer != nil {
			return got, outer
		}
		return got, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.opts) - 1; i >= 0; i-- {
		if f.opts[i].Name() == o.Name() {
			return f.opts[i], nil
		}
	}
	switch o.Name() {
	case "nodelay":
		return backend.NoDelay(true), nil
	case "keepalive":
		return backend.KeepAlive(0, 0, 0), nil
	case "linger":
		return backend.Linger(-1), nil
	}
	return o, unsupported(o)
}

// PeerCredentials implements backend.Sockets. Package net does not know them.
func (s *sockets) PeerCredentials(d backend.Descriptor) (who backend.PeerCredentials, err error) {
	if !s.native {
		return who, fmt.Errorf("credentials of the peer: %w", errors.ErrUnsupported)
	}
	err = within(s.at(d).control, func(fd uintptr) (err error) {
		who, err = credentialsNative(fd)
		return err
	})
	return who, err
}

// remember sets options, now or when there is a connection.
func (f *file) remember(options []backend.SocketOption) error {
	for _, o := range options {
		if !supported(o) {
			return unsupported(o)
		}
		if f.conn != nil {
			if err := apply(f.conn, o); err != nil {
				return err
			}
		}
		f.mu.Lock()
		f.opts = append(f.opts, o)
		f.mu.Unlock()
	}
	return nil
}

// remembered are the options that were set before there was a connection.
func (f *file) remembered() []backend.SocketOption {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opts
}

func supported(o backend.SocketOption) bool {
	switch o.Name() {
	case "nodelay", "keepalive", "linger", "sndbuf", "rcvbuf":
		return true
	}
	return false
}

func unsupported(o backend.SocketOption) error {
	return &backend.SocketOptionError{Option: o, Err: errors.ErrUnsupported, Cure: "package net does not have it; leave it out here"}
}

// apply sets an option on a connection of package net.
func apply(c netConn, o backend.SocketOption) (err error) {
	tcp, isTCP := c.(*net.TCPConn)
	switch v := o.Value().(type) {
	case int64:
		set := c.SetReadBuffer
		if o.Name() == "sndbuf" {
			set = c.SetWriteBuffer
		}
		err = set(int(v))
	case bool:
		if !isTCP {
			return unsupported(o)
		}
		err = tcp.SetNoDelay(v)
	case time.Duration:
		if !isTCP {
			return unsupported(o)
		}
		err = tcp.SetLinger(int(v / time.Second))
	case net.KeepAliveConfig:
		switch {
		case !isTCP:
			return unsupported(o)
		case v.Enable:
			err = tcp.SetKeepAliveConfig(v)
		default:
			err = tcp.SetKeepAlive(false)
		}
	}
	if err != nil {
		return &backend.SocketOptionError{Option: o, Err: step(err)}
	}
	return nil
}

// netOptions are those that package net sets on every connection that it makes.
var netOptions = []backend.SocketOption{backend.NoDelay(true), backend.KeepAlive(0, 0, 0)}

// current are the values of netOptions that a socket has now. One that has none of them, as a Unix socket, has no values.
func current(fd uintptr) (have []backend.SocketOption) {
	for _, o := range netOptions {
		if got, err := getNative(fd, o); err == nil {
			have = append(have, got)
		}
	}
	return have
}

// restore sets options again that package net has changed.
func restore(raw func(func(fd uintptr)) error, options []backend.SocketOption) {
	if len(options) == 0 || len(options) == len(netOptions) && options[0] == netOptions[0] && options[1] == netOptions[1] {
		return
	}
	_ = raw(func(fd uintptr) { _ = setNative(fd, options, backend.OnStream) })
}
