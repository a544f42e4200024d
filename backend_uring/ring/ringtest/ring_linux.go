package ringtest

import (
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// instance is one emulated ring. All but message belongs to whoever may call enter.
type instance struct {
	kernel  *Kernel
	dice    dice
	flags   uint32
	fd      int // the file with the queues
	poller  int // an epoll set of all descriptors of requests in flight, and of the alarm
	alarm   int // an eventfd: there are messages
	thread  int // that may enter, with SetupSingleIssuer
	enabled atomic.Bool
	queues

	files   map[int]*file // by descriptor; those with requests in flight
	polled  map[uint64]*file
	nextID  uint64
	ready   []*file               // in the order in which they became ready
	named   map[uint64][]*request // in flight, by user_data, the oldest first
	groups  map[uint16]*group
	held    []held
	backlog []ring.CQE // completions for which the queue had no room
	tick    uint64     // counts the times that work was done

	mu       sync.Mutex // guards messages and closed
	messages []ring.CQE
	closed   bool
}

// held is a completion that is posted later.
type held struct {
	ring.CQE
	due uint64 // the tick
}

func (r *instance) open(entries uint32, p *ring.Params) (errno syscall.Errno) {
	r.fd, r.poller, r.alarm = -1, -1, -1
	if r.queues, r.fd, errno = makeQueues(entries, p); errno != 0 {
		return errno
	}
	var err error
	if r.poller, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err.(syscall.Errno)
	}
	if r.alarm, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err.(syscall.Errno)
	}
	if err := unix.EpollCtl(r.poller, unix.EPOLL_CTL_ADD, r.alarm, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return err.(syscall.Errno)
	}
	p.Features = ring.FeatSingleMmap | ring.FeatNoDrop | ring.FeatExtArg | ring.FeatFastPoll | ring.FeatCQESkip
	if p.Flags&ring.SetupRDisabled == 0 {
		r.enable()
	}
	return 0
}

func (r *instance) enable() {
	r.thread = unix.Gettid()
	r.enabled.Store(true)
	// An enter always has an effect here, since nothing is done in between. A kernel shows this flag with
	// SetupTaskrunFlag only, and without it posts completions by itself.
	r.show(ring.SQTaskrun, true)
}

func (r *instance) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, fd := range []int{r.fd, r.poller, r.alarm} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	r.unmap()
}

// message posts a completion, from any goroutine.
func (r *instance) message(c ring.CQE) syscall.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return unix.EBADF
	case r.dice.chance(refuseMessage, r.kernel.habits.RefuseMessage):
		return []syscall.Errno{unix.EPERM, unix.ENOMEM}[r.dice.below(refuseMessage, 2)]
	}
	r.messages = append(r.messages, c)
	_, _ = unix.Write(r.alarm, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return 0
}

func (r *instance) takeMessages() {
	r.mu.Lock()
	taken := r.messages
	r.messages = nil
	r.mu.Unlock()
	if len(taken) == 0 {
		return
	}
	_, _ = unix.Read(r.alarm, make([]byte, 8))
	for _, c := range taken {
		r.post(c)
	}
}

// enter is io_uring_enter(2).
func (r *instance) enter(submit, wait, flags uint32, timeout *ring.KernelTimespec) (uint32, syscall.Errno) {
	switch {
	case !r.enabled.Load():
		return 0, unix.EBADFD
	case r.flags&ring.SetupSingleIssuer != 0 && r.thread != unix.Gettid():
		return 0, unix.EEXIST
	}
	taken, errno := r.submit(submit)
	if errno != 0 || taken < submit {
		return taken, errno
	}
	if flags&ring.EnterGetEvents == 0 {
		return taken, 0
	}
	r.work()
	if wait > 0 && r.queues.ready() < wait {
		errno = r.sleep(timeout)
	}
	if taken > 0 {
		errno = 0
	}
	return taken, errno
}

// submit takes entries out of the queue, at most n. Without SetupSubmitAll it stops behind one that is invalid.
func (r *instance) submit(n uint32) (taken uint32, _ syscall.Errno) {
	h := &r.kernel.habits
	n = min(n, r.prepared())
	if n == 0 {
		return 0, 0
	}
	if len(r.backlog) > 0 && r.dice.chance(busy, h.Busy) {
		if r.flush(); len(r.backlog) > 0 {
			return 0, unix.EBUSY
		}
	}
	if r.dice.chance(noRoom, h.NoRoom) {
		return 0, unix.EAGAIN
	}
	if n > 1 && r.dice.chance(part, h.Part) {
		n = 1 + uint32(r.dice.below(part, int(n-1)))
	}
	for taken < n {
		taken++
		if !r.issue(r.takeEntry()) && r.flags&ring.SetupSubmitAll == 0 {
			break
		}
	}
	return taken, 0
}

// post posts a completion, or keeps it until there is room. Nothing overtakes what is kept.
func (r *instance) post(c ring.CQE) {
	if len(r.backlog) == 0 && r.put(c) {
		return
	}
	r.backlog = append(r.backlog, c)
	r.show(ring.SQCQOverflow, true)
}

// postMore posts a completion of a request that goes on, and reports whether it can: not if there is no room.
func (r *instance) postMore(q *request, res int32, flags uint32) bool {
	return len(r.backlog) == 0 && r.put(ring.CQE{UserData: q.UserData, Res: res, Flags: flags | ring.CQEFMore})
}

// finish ends a request. Its last completion may come later.
func (r *instance) finish(q *request, res int32, flags uint32) {
	r.forget(q)
	c := ring.CQE{UserData: q.UserData, Res: res, Flags: flags}
	if r.dice.chance(lateCompletion, r.kernel.habits.LateCompletion) {
		r.held = append(r.held, held{c, r.tick + 1 + uint64(r.dice.below(howMany, 4))})
		return
	}
	r.post(c)
}

// postHeld posts what is due of the completions that were held back.
func (r *instance) postHeld() {
	left := r.held[:0]
	for _, c := range r.held {
		if c.due <= r.tick {
			r.post(c.CQE)
		} else {
			left = append(left, c)
		}
	}
	r.held = left
}

// flush moves overflowed completions into the queue.
func (r *instance) flush() {
	n := 0
	for n < len(r.backlog) && r.put(r.backlog[n]) {
		n++
	}
	r.backlog = r.backlog[:copy(r.backlog, r.backlog[n:])]
	if len(r.backlog) == 0 {
		r.show(ring.SQCQOverflow, false)
	}
}
