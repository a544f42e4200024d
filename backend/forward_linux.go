package backend

import "syscall"

// Forwarding is what a driver needs for Forwarders: a pipe that all its sockets share, which is empty between two calls
// of Move. The zero value is ready, and has no pipe yet.
type Forwarding struct {
	pipe *Pipe
	left int // bytes in the pipe

	now, last int // how often bytes have moved in this turn, and in the one before
}

// Turn begins a turn.
func (f *Forwarding) Turn() { f.now, f.last = 0, f.now }

// Share is how many bytes Move takes at most. The sockets of a loop that forward share turnForward in each turn, so that
// others do not wait for many of them.
func (f *Forwarding) Share() int {
	return min(max(turnForward/max(f.now, f.last, 1), leastShare), PipeSize)
}

const (
	turnForward = 2 * PipeSize // both ways of one relay
	leastShare  = 256 << 10    // what a socket may always forward in a turn
)

// leastForwarded is how many bytes are forwarded at a time where there seems to be no room. It shows when there is again.
const leastForwarded = 64 << 10

// Move has the socket's Forwarder take what has come and is to go to another socket. It returns how many of them it has left,
// which Rest returns before the next Move; otherwise EAGAIN, or the connection's error. ErrPending means that the socket has
// to be received from as usual: it cannot be forwarded, and has no Forwarder any longer; or somebody who shares one of the two
// sockets has made it blocking, which splice(2) heeds; or it has nothing for splice, which does not get past urgent data,
// tcp_read_sock in net/ipv4/tcp.c, and takes it for the end of the stream if that has come, too.
func (f *Forwarding) Move(s *Socket, to Descriptor, calls *uint64) (left int, err error) {
	if f.left > 0 { // a panic has come between: nobody else may get these bytes
		f.Close()
	}
	*calls += 2
	if isBlocking(s.FD()) || isBlocking(to.FD()) {
		return 0, ErrPending
	}
	if f.pipe == nil {
		if f.pipe, err = NewPipe(); err != nil {
			s.Forwards = false
			return 0, ErrPending
		}
	}
	*calls += 2
	n, err := f.pipe.Fill(s.FD(), min(max(SendRoom(to), leastForwarded), f.Share()))
	switch {
	case err == syscall.EINVAL: // not this kind of socket
		s.Forwards = false
		return 0, ErrPending
	case n == 0 && (err == nil || err == syscall.EAGAIN):
		return 0, ErrPending
	case n == 0:
		return 0, err
	}
	*calls++
	f.now++
	f.left = n // also if Forward does not return
	f.left -= s.forwarder().Forward(f.pipe, n)
	if f.left == 0 {
		err = syscall.EAGAIN
	}
	return f.left, err
}

// Rest copies a part of what Move has left into b.
func (f *Forwarding) Rest(b []byte, calls *uint64) (int, error) {
	*calls++
	n, err := f.pipe.Read(b)
	f.left -= n
	if err != nil { // it has what was put there
		f.Close()
	}
	return n, err
}

// Close frees the pipe.
func (f *Forwarding) Close() {
	if f.pipe != nil {
		f.pipe.Close()
		f.pipe, f.left = nil, 0
	}
}
