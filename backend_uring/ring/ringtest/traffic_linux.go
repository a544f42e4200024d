package ringtest

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// group is a ring of buffers.
type group struct {
	entries []ring.Buf
	head    uint16
	seen    uint16          // the tail up to which the buffers were looked at
	lent    map[uint16]bool // the kernel has them
	dirty   map[uint16]int  // bytes that the kernel has written there
}

func (r *instance) addGroup(b *ring.BufReg) syscall.Errno {
	if r.groups[b.BGID] != nil {
		return unix.EEXIST
	}
	if b.RingEntries == 0 || b.RingEntries&(b.RingEntries-1) != 0 {
		return unix.EINVAL
	}
	r.groups[b.BGID] = &group{entries: entriesAt(b.RingAddr, b.RingEntries), lent: map[uint16]bool{}, dirty: map[uint16]int{}}
	return 0
}

// garbage is written into buffers that are lent to the kernel, which may write there at any time.
const garbage = 0xdb

// look finds out which buffers were lent.
func (r *instance) look(g *group) {
	tail := tailOf(&g.entries[0])
	if int(tail-g.head) > len(g.entries) {
		r.kernel.fault("%d buffers were lent, and the ring has %d entries", tail-g.head, len(g.entries))
	}
	for ; g.seen != tail; g.seen++ {
		b := &g.entries[int(g.seen)&(len(g.entries)-1)]
		if g.lent[b.BID] {
			r.kernel.fault("buffer %d was lent while the kernel has it", b.BID)
		}
		g.lent[b.BID] = true
		p := bytesAt(b.Addr, min(g.dirty[b.BID], int(b.Len)))
		for i := range p {
			p[i] = garbage
		}
		g.dirty[b.BID] = 0
	}
}

// next is the buffer that a request gets, or nil.
func (r *instance) next(q *request) (*group, *ring.Buf) {
	g := r.groups[q.BufIndex]
	if g == nil {
		return nil, nil
	}
	r.look(g)
	if g.head == g.seen || r.dice.chance(noBuffers, r.kernel.habits.NoBuffers) {
		return g, nil
	}
	return g, &g.entries[int(g.head)&(len(g.entries)-1)]
}

// use takes the next buffer, which has n bytes, and returns the flags that say so.
func (g *group) use(b *ring.Buf, n int) uint32 {
	g.head++
	delete(g.lent, b.BID)
	g.dirty[b.BID] = n
	return ring.CQEFBuffer | uint32(b.BID)<<ring.CQEBufferShift
}

// read is of regular files only, which are always ready.
func (r *instance) read(q *request) {
	g, b := r.next(q)
	if b == nil {
		r.finish(q, -int32(unix.ENOBUFS), 0)
		return
	}
	n, errno := readAt(int(q.Fd), b.Addr, min(int(q.Len), int(b.Len)))
	if errno != 0 {
		r.finish(q, -int32(errno), 0)
		return
	}
	r.finish(q, int32(n), g.use(b, n))
}

// mostLoops is how many buffers a multishot receive fills before others have their turn: MULTISHOT_MAX_RETRY in
// io_uring/net.c.
const mostLoops = 32

// receive takes bytes; io_recv in io_uring/net.c.
func (r *instance) receive(q *request) {
	for range mostLoops {
		g, b := r.next(q)
		if b == nil {
			r.finish(q, -int32(unix.ENOBUFS), 0)
			return
		}
		n, errno := receiveAt(q.file.fd, b.Addr, r.size(q, b))
		switch {
		case errno == unix.EAGAIN, errno == unix.EINTR:
			return
		case errno != 0:
			r.finish(q, -int32(errno), 0)
			return
		case n == 0:
			flags := uint32(0)
			if r.kernel.habits.EOFBuffer {
				flags = g.use(b, 0)
			}
			r.finish(q, 0, flags)
			return
		}
		flags, again := r.hint(q.file)
		flags |= g.use(b, n)
		if q.left -= n; q.IoPrio&ring.RecvMultishot == 0 || q.bounded && q.left <= 0 || !r.postMore(q, int32(n), flags) {
			r.finish(q, int32(n), flags)
			return
		}
		if !again {
			return // an end that came with the bytes is overlooked
		}
		if r.dice.chance(requeue, r.kernel.habits.Requeue) {
			break
		}
	}
	r.becomeReady(q.file, unix.EPOLLIN)
}

// size is how many bytes a receive takes at most.
func (r *instance) size(q *request, b *ring.Buf) int {
	n := int(b.Len)
	if q.Len > 0 {
		n = min(n, int(q.Len))
	}
	if r.dice.chance(shortReceive, r.kernel.habits.ShortReceive) {
		n = 1 + r.dice.below(howMany, n)
	}
	return n
}

// hint is what a completion says about what is left, and whether a multishot receive tries again: if something is left,
// or if nobody knows. An end counts as something on TCP; tcp_inq_hint in net/ipv4/tcp.c.
func (r *instance) hint(f *file) (flags uint32, again bool) {
	if !f.tcp && r.kernel.habits.NoUnixHint {
		return 0, true
	}
	n, err := unix.IoctlGetInt(f.fd, unix.SIOCINQ)
	if err != nil {
		return 0, true
	}
	if n > 0 || f.tcp && r.poll(f, unix.POLLRDHUP)&unix.POLLRDHUP != 0 {
		return ring.CQEFSockNonEmpty, true
	}
	return 0, false
}

// most is more than anybody sends at a time.
const most = 1 << 30

// send sends bytes; io_send and io_sendmsg in io_uring/net.c.
func (r *instance) send(q *request, mask uint32) {
	h := &r.kernel.habits
	if r.dice.chance(sendInterrupt, h.SendInterrupt) {
		r.finish(q, -int32(unix.EINTR), 0)
		return
	}
	pieces, total := r.pieces(q, most)
	if q.waits && sumOf(pieces) != q.sum {
		r.kernel.fault("the bytes of send %#x were changed while it was in flight", q.UserData)
	}
	limit := total
	if total > 1 && r.dice.chance(shortSend, h.ShortSend) {
		limit = 1 + r.dice.below(howMany, total)
	}
	var n int
	var errno syscall.Errno
	if q.Opcode == ring.OpSend {
		n, errno = sendAt(q.file.fd, q.Addr, limit, q.OpFlags)
	} else {
		short, _ := r.pieces(q, limit)
		n, errno = sendPieces(q.file.fd, short, q.OpFlags)
	}
	switch {
	case errno == 0:
		r.finish(q, int32(n), 0)
	case errno != unix.EAGAIN:
		r.finish(q, -int32(errno), 0)
	case q.OpFlags&unix.MSG_DONTWAIT != 0, r.hopeless(q, mask), r.dice.chance(sendAgain, h.SendAgain):
		r.finish(q, -int32(unix.EAGAIN), 0)
	default:
		q.sum = sumOf(pieces)
	}
}

// hopeless reports whether the wait of a send for room would end at once, because the peer has finished sending or the
// error queue is not empty. After some retries the kernel gives up.
func (r *instance) hopeless(q *request, mask uint32) bool {
	return (mask|r.poll(q.file, always))&always != 0
}

func (r *instance) pieces(q *request, n int) ([]unix.Iovec, int) {
	if q.Opcode == ring.OpSendMsg {
		return vectorAt(q.Addr, n)
	}
	v := unix.Iovec{Base: at[byte](q.Addr)}
	v.SetLen(min(int(q.Len), n))
	return []unix.Iovec{v}, int(v.Len)
}
