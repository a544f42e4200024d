package ringtest

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// file is an open file with requests in flight.
type file struct {
	fd       int
	inode    uint64
	id       uint64 // in the epoll set
	tcp      bool
	requests []*request // the oldest first

	mask   uint32 // what became ready
	queued bool   // it is in instance.ready
	due    uint64 // the tick at which that is handled
}

// request is a request in flight.
type request struct {
	ring.SQE
	file        *file
	events      uint32 // for which it waits
	reported    uint32 // by a multishot poll
	left        int    // bytes of a bounded multishot receive
	bounded     bool
	sum         uint64 // of the bytes that it sends
	waits       bool   // it has tried before
	interrupted bool   // a cancellation came too late for it
	ended       bool
}

// always are the events for which a poll waits in any case: IO_POLL_UNMASK in io_uring/poll.c.
const always = unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP

// everything is what an epoll set is asked for.
const everything = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | always

// inodeOf names the file behind a descriptor. It is 0 for files that have none of their own, such as an eventfd.
func inodeOf(fd int) (inode uint64, open bool) {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil {
		return 0, false
	}
	if s.Mode&unix.S_IFMT == 0 {
		return 0, true
	}
	return s.Ino, true
}

// fileOf returns the file of a new request.
func (r *instance) fileOf(fd int) (*file, bool) {
	inode, open := inodeOf(fd)
	if !open {
		return nil, false
	}
	if f := r.files[fd]; f != nil {
		if f.inode == inode {
			return f, true
		}
		r.lost(f)
	}
	r.nextID++
	f := &file{fd: fd, inode: inode, id: r.nextID}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	f.tcp = err == nil && domain != unix.AF_UNIX
	r.files[fd], r.polled[f.id] = f, f
	e := unix.EpollEvent{Events: everything | unix.EPOLLET}
	e.Fd, e.Pad = int32(f.id), int32(f.id>>32)
	_ = unix.EpollCtl(r.poller, unix.EPOLL_CTL_ADD, fd, &e) // EPERM: it is always ready
	return f, true
}

// intact reports whether the descriptor of a file is still that file's. The kernel's requests have the file itself, and
// it stays open for them. But nobody closes a descriptor who knows what is in flight on it.
func (r *instance) intact(f *file) bool {
	inode, open := inodeOf(f.fd)
	if open && inode == f.inode {
		return true
	}
	r.lost(f)
	return false
}

func (r *instance) lost(f *file) {
	if r.polled[f.id] == nil {
		return
	}
	var names []uint64
	for _, q := range f.requests {
		names = append(names, q.UserData)
	}
	r.kernel.fault("descriptor %d was closed while requests %#x were in flight on it", f.fd, names)
	delete(r.polled, f.id)
	if r.files[f.fd] == f {
		delete(r.files, f.fd)
	}
}

// begin enters a request as one in flight.
func (r *instance) begin(q *request, f *file) {
	q.file = f
	f.requests = append(f.requests, q)
	r.named[q.UserData] = append(r.named[q.UserData], q)
}

// forget takes a request out.
func (r *instance) forget(q *request) {
	q.ended = true
	f := q.file
	if f == nil {
		return
	}
	f.requests = without(f.requests, q)
	if r.named[q.UserData] = without(r.named[q.UserData], q); len(r.named[q.UserData]) == 0 {
		delete(r.named, q.UserData)
	}
	if len(f.requests) == 0 && r.files[f.fd] == f {
		_ = unix.EpollCtl(r.poller, unix.EPOLL_CTL_DEL, f.fd, nil)
		delete(r.files, f.fd)
		delete(r.polled, f.id)
	}
}

func without(all []*request, q *request) []*request {
	for i := range all {
		if all[i] == q {
			return append(all[:i], all[i+1:]...)
		}
	}
	return all
}

// work does what a kernel does in task work: it tries again what waits for a file that became ready.
func (r *instance) work() {
	r.tick++
	r.flush()
	r.takeMessages()
	r.collect()
	for _, f := range r.runnable() {
		r.run(f)
	}
	r.postHeld()
	r.flush()
}

// collect asks which files became ready. It takes no more than a few hundred at a time.
func (r *instance) collect() {
	var events [128]unix.EpollEvent
	for range 8 {
		n, err := unix.EpollWait(r.poller, events[:], 0)
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			if f := r.polled[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]; f != nil {
				r.becomeReady(f, e.Events)
			}
		}
		if n < len(events) {
			return
		}
	}
}

func (r *instance) becomeReady(f *file, mask uint32) {
	f.mask |= mask
	if f.queued {
		return
	}
	f.queued, f.due = true, r.tick
	if r.dice.chance(lateWork, r.kernel.habits.LateWork) {
		f.due += 1 + uint64(r.dice.below(howMany, 4))
	}
	r.ready = append(r.ready, f)
}

// runnable takes out the files that are due, in the order in which they are handled.
func (r *instance) runnable() (now []*file) {
	left := r.ready[:0]
	for _, f := range r.ready {
		if f.due <= r.tick {
			now = append(now, f)
		} else {
			left = append(left, f)
		}
	}
	clear(r.ready[len(left):])
	r.ready = left
	if len(now) > 1 && r.dice.chance(shuffle, r.kernel.habits.Shuffle) {
		for i := len(now) - 1; i > 0; i-- {
			j := r.dice.below(order, i+1)
			now[i], now[j] = now[j], now[i]
		}
	}
	return now
}

// run tries what waits for a file.
func (r *instance) run(f *file) {
	mask := f.mask
	f.mask, f.queued = 0, false
	waiting := append([]*request(nil), f.requests...)
	if len(waiting) > 1 && r.dice.chance(shuffle, r.kernel.habits.Shuffle) {
		i := r.dice.below(order, len(waiting)) // requests of one kind stay in order: there is one of each
		waiting[0], waiting[i] = waiting[i], waiting[0]
	}
	if len(waiting) == 0 || !r.intact(f) {
		return
	}
	for _, q := range waiting {
		if !q.ended && (mask&q.events != 0 || q.interrupted) {
			r.try(q, mask)
		}
	}
}

// sleep waits for a completion. It returns ETIME or EINTR if there is none.
func (r *instance) sleep(timeout *ring.KernelTimespec) syscall.Errno {
	var deadline time.Time
	if timeout != nil {
		deadline = time.Now().Add(time.Duration(timeout.Sec)*time.Second + time.Duration(timeout.Nsec))
	}
	if r.dice.chance(early, r.kernel.habits.Early) {
		return unix.EINTR
	}
	for r.queues.ready() == 0 {
		left := time.Duration(-1)
		if timeout != nil {
			if left = time.Until(deadline); left <= 0 {
				return unix.ETIME
			}
		}
		r.block(left)
		r.work()
	}
	return 0
}

// pause is how long a sleeping call waits at most for what is to be done later.
const pause = 50 * time.Microsecond

// block sleeps until a file becomes ready or a message comes.
func (r *instance) block(atMost time.Duration) {
	if len(r.held)+len(r.ready) > 0 && (atMost < 0 || atMost > pause) {
		atMost = pause
	}
	fds := []unix.PollFd{{Fd: int32(r.poller), Events: unix.POLLIN}}
	if atMost < 0 {
		_, _ = unix.Ppoll(fds, nil, nil)
		return
	}
	t := unix.NsecToTimespec(int64(atMost))
	_, _ = unix.Ppoll(fds, &t, nil)
}
