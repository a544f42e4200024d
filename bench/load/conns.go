//go:build linux

package load

import (
	"golang.org/x/sys/unix"
)

// connections holds the connections of a traffic that keeps all of them from begin to end. It dials and watches them,
// and calls the traffic for those that are ready.
type connections struct {
	g   *generator
	all []connection
	use exchange // the traffic
}

// connection is one of them.
type connection struct {
	fd      int
	layer   layer
	blocked bool // waits for room to send
}

// exchange is what differs between such traffics: what they do on a connection that is ready.
type exchange interface {
	// send sends what connection i still has to send. It is called when the socket has room again.
	send(i int) error
	// received handles what came on connection i. p is lent until it returns.
	received(i int, p []byte) error
}

// dial connects all, handshakes included.
func (c *connections) dial() error {
	for i := range c.g.Conns {
		fd, err := c.g.dial(i)
		if err != nil {
			return err
		}
		l := c.g.newLayer(i, fd)
		c.all = append(c.all, connection{fd: fd, layer: l})
		if err := c.g.openNow(l, fd); err != nil {
			return err
		}
	}
	return nil
}

// open connects all of them and watches for input.
func (c *connections) open() error {
	if err := c.dial(); err != nil {
		return err
	}
	for i := range c.all {
		if err := c.watch(unix.EPOLL_CTL_ADD, i, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// ready handles what epoll reports for connection i.
func (c *connections) ready(i int, events uint32) error {
	l := c.all[i].layer
	if events&unix.EPOLLOUT != 0 && c.all[i].blocked {
		if err := l.flush(); err != nil {
			return err
		}
		if l.pending() {
			return nil
		}
		if err := c.use.send(i); err != nil {
			return err
		}
	}
	if !readable(events) {
		return nil
	}
	p, err := l.read()
	if len(p) == 0 || err != nil {
		return err
	}
	return c.use.received(i, p)
}

// write sends p, and returns how much of it was taken. Nothing is taken while the layer keeps something.
func (c *connections) write(i int, p []byte) (int, error) {
	l := c.all[i].layer
	if l.pending() {
		return 0, l.flush()
	}
	return l.write(p)
}

// block notes whether connection i waits for room to send, and watches for it.
func (c *connections) block(i int, blocked bool) error {
	blocked = blocked || c.all[i].layer.pending()
	if c.all[i].blocked == blocked {
		return nil
	}
	c.all[i].blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events |= unix.EPOLLOUT
	}
	return c.watch(unix.EPOLL_CTL_MOD, i, events)
}

// watch changes the events that epoll reports for connection i.
func (c *connections) watch(op, i int, events uint32) error {
	return c.g.watch(op, c.all[i].fd, i, events)
}

func (c *connections) close() {
	for i := range c.all {
		c.all[i].layer.close()
		_ = unix.Close(c.all[i].fd)
	}
}
