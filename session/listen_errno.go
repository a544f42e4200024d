package session

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
	longRow      = 32 // so many failed connections in a row are no accident
)

// verdict is what a failed accept means for its listener.
type verdict uint8

const (
	socketFailed     verdict = iota // it will not accept again
	connectionFailed                // the next one may not
	resourceShort                   // which passes
)

// connectionErrors are those of a connection that broke before it was accepted, or that a rule forbids: accept(2),
// "Error handling". The list there is not complete: an ICMP message may also leave EMSGSIZE, EACCES, ECONNREFUSED;
// icmp_err_convert in net/ipv4/icmp.c, tab_unreach in net/ipv6/icmp.c. EPERM is a firewall's.
var connectionErrors = []syscall.Errno{
	syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
	syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EACCES, syscall.EMSGSIZE,
	syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ETIMEDOUT, enonet,
}

// enonet is ENONET, which package syscall does not have everywhere.
const enonet = syscall.Errno(64)

// resourceErrors come with what an operator can do. ENOSPC is epoll_ctl(2)'s.
var resourceErrors = map[syscall.Errno]string{
	syscall.EMFILE:  "raise the limit of open files of the process (ulimit -n), or close streams",
	syscall.ENFILE:  "raise the system's limit of open files (fs.file-max)",
	syscall.ENOBUFS: "the kernel is short of memory for sockets",
	syscall.ENOMEM:  "the kernel is short of memory",
	syscall.ENOSPC:  "raise fs.epoll.max_user_watches",
}

// judge decides what every errno of an accept means. It is the one place that does.
func judge(err error) verdict {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return socketFailed
	}
	switch _, resource := resourceErrors[e]; {
	case resource:
		return resourceShort
	case slices.Contains(connectionErrors, e):
		return connectionFailed
	}
	return socketFailed
}

// failed follows an accept that failed. The driver has switched accepting off.
func (a *acceptor) failed(err error) {
	a.listener.errors.Add(1)
	a.loop.Count[backend.AcceptErrors]++
	switch judge(err) {
	case connectionFailed:
		if a.row++; a.row < longRow {
			a.tellDriver()
			return
		}
		a.backOff(err, "connections fail as they are accepted")
	case resourceShort:
		var e syscall.Errno
		_ = errors.As(err, &e)
		a.backOff(err, resourceErrors[e])
	case socketFailed:
		a.stop()
		a.listener.lost(a, os.NewSyscallError("accept", err))
	}
}

// backOff waits before the next accept, each time twice as long as before.
func (a *acceptor) backOff(err error, cure string) {
	a.listener.backoffs.Add(1)
	a.delay = min(max(2*a.delay, firstBackoff), lastBackoff)
	a.set(haltBackoff, true)
	a.loop.StartTimer(&a.timer, a.delay)
	if skipped, ok := a.logged.allow(a.loop.Clock()); ok {
		a.loop.engine.log.Warn("tandem: cannot accept; connections wait in the backlog", "address", a.listener.addr,
			"error", err, "cure", cure, "again in", a.delay, "not logged", skipped)
	}
}

// retry ends a back-off.
func (a *acceptor) retry() {
	a.set(haltBackoff, false)
	a.tellDriver()
}

// refuse resets a connection that cannot have the options of its listener, for which a privilege must have been given
// up.
func (a *acceptor) refuse(fd backend.Descriptor, err error) {
	a.reset(fd)
	a.listener.errors.Add(1)
	a.loop.Count[backend.AcceptErrors]++
	if skipped, ok := a.logged.allow(a.loop.Clock()); ok {
		a.loop.engine.log.Error("tandem: accept: connections are reset, because they cannot have the listener's socket options",
			"address", a.listener.addr, "error", err, "not logged", skipped)
	}
}

// lost follows the end of one socket by err. The listener goes on with its others, and ends with the last.
func (l *listener) lost(a *acceptor, err error) {
	l.mu.Lock()
	l.sockets--
	left, over := l.sockets, l.err != nil
	l.mu.Unlock()
	if over {
		return
	}
	failure := &net.OpError{Op: "accept", Net: l.network, Addr: l.addr, Err: err}
	message := "tandem: a listener has ended: its socket does not accept any longer"
	if left > 0 {
		message = "tandem: one of a listener's sockets does not accept any longer; the others go on"
	}
	l.engine.log.Error(message, "address", l.addr, "loop", a.loop.index, "error", err)
	if left == 0 {
		l.end(failure)
	}
}
