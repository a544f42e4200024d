package ring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Ring is one io_uring: a submission queue, a completion queue and the entries, all shared with the kernel.
//
// Unless a method says otherwise, all of them belong to one goroutine. A ring of SetupSingleIssuer belongs to the
// thread that called Enable (or New, without SetupRDisabled): from any other thread the kernel answers EEXIST, so
// that goroutine has to be locked to its thread. When that thread ends, the kernel cancels what it submitted.
// A Ring must not be copied.
type Ring struct {
	// What the methods of every turn touch comes first.
	sqes      []SQE
	sqHead    *uint32
	sqTail    *uint32
	sqFlags   *uint32
	sqNext    uint32 // the tail that Submit will publish
	sqMask    uint32
	sqEntries uint32

	cqes      []CQE
	cqHead    *uint32
	cqTail    *uint32
	cqNext    uint32 // the head that was published last
	cqMask    uint32
	cqEntries uint32

	enterFD    uintptr // the descriptor, or its registered index
	enterFlags uint32  // EnterRegisteredRing, if it is the index
	lookFlags  uint32  // SQ flags that make an enter necessary when nothing is prepared
	lookAlways bool    // there is no such flag: only an enter shows completions
	enters     uint64

	// Read by the kernel during Wait. It is in the heap with the rest of the Ring, never on a stack.
	arg     getEventsArg
	timeout KernelTimespec

	fd            int
	flags         uint32
	features      uint32
	disabled      bool
	waitFlags     uint32
	registeredTID int // the thread for which the descriptor is registered, or 0
	ringMem       mapping
	sqeMem        mapping
}

// The memory of a ring, who writes which word, and in which order:
//
//	                      this side                              the kernel, in enter
//	SQ array   index      written once: entry i is at i          read   (absent with SetupNoSQArray)
//	SQ         entries    1. filled, by SQE and Prep             3. read
//	           tail       2. store-release, by Submit            3. load-acquire
//	           head       5. load-acquire, by SQE                4. store-release: the entries before are free
//	           flags      load, by Look                          written at any time
//	CQ         entries    3. read, by Peek                       1. written, at any time
//	           tail       3. load-acquire, by Peek               2. store-release
//	           head       4. store-release, by Advance           5. load-acquire: the entries before are free
//
// Head and tail count for ever and wrap at 2^32; the mask makes an index of them. Loads and stores of sync/atomic are
// sequentially consistent, which is more than is asked here.

const (
	// requiredFeatures: one mapping for both queues, completions that overflow are kept, and a timeout in enter.
	// Since Linux 5.11; io_uring_setup(2).
	requiredFeatures = FeatSingleMmap | FeatNoDrop | FeatExtArg

	// unsupportedSetup changes the layout of the entries or the way memory is shared, or needs another way to enter.
	unsupportedSetup = SetupIOPoll | SetupSQPoll | SetupSQAff | SetupAttachWQ | SetupSQE128 | SetupCQE32 |
		SetupNoMmap | SetupRegisteredFDOnly | SetupHybridIOPoll | SetupCQEMixed
)

// New makes a ring with room for that many submissions, rounded up to a power of two, and cqEntries completions;
// 0 means twice as many as submissions. SetupCQSize follows from cqEntries and need not be in flags. The descriptor is
// close-on-exec. The error wraps the errno of the kernel, or errors.ErrUnsupported.
func New(entries, cqEntries, flags uint32) (*Ring, error) {
	if cpu.IsBigEndian || flags&unsupportedSetup != 0 {
		return nil, fmt.Errorf("uring: setup: flags %#x on this machine: %w", flags, errors.ErrUnsupported)
	}
	p := params{cqEntries: cqEntries, flags: flags &^ SetupCQSize}
	if cqEntries != 0 {
		p.flags |= SetupCQSize
	}
	fd, errno := setup(entries, &p)
	if errno != 0 {
		return nil, fmt.Errorf("uring: setup: %w", errno)
	}
	r := &Ring{fd: fd, enterFD: uintptr(fd), flags: p.flags, features: p.features}
	r.disabled = p.flags&SetupRDisabled != 0
	r.chooseEnter()
	if p.features&requiredFeatures != requiredFeatures {
		_ = r.Close()
		return nil, fmt.Errorf("uring: setup: the kernel has features %#x of %#x: %w",
			p.features&requiredFeatures, requiredFeatures, errors.ErrUnsupported)
	}
	if err := r.mapQueues(&p); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("uring: map queues: %w", err)
	}
	return r, nil
}

// chooseEnter decides when Look has to enter although nothing is prepared, and how Wait sleeps.
func (r *Ring) chooseEnter() {
	r.lookFlags = SQCQOverflow | SQTaskrun
	// Without SetupTaskrunFlag nothing shows that deferred or cooperative task work waits.
	lazy := r.flags&(SetupDeferTaskrun|SetupCoopTaskrun) != 0
	r.lookAlways = lazy && r.flags&SetupTaskrunFlag == 0
	r.waitFlags = EnterGetEvents
	if r.features&FeatNoIOWait != 0 {
		// Since Linux 6.15; io_uring_enter(2). A loop that waits for peers is idle, not waiting for a disk.
		r.waitFlags |= EnterNoIOWait
	}
}

// FD is the descriptor of the ring, -1 after Close.
func (r *Ring) FD() int { return r.fd }

// Features are the Feat bits of the kernel.
func (r *Ring) Features() uint32 { return r.features }

// Entries are the sizes of the queues as the kernel made them.
func (r *Ring) Entries() (sq, cq uint32) { return r.sqEntries, r.cqEntries }

// Enters counts the calls of io_uring_enter(2) so far.
func (r *Ring) Enters() uint64 { return r.enters }

// Enable starts a ring made with SetupRDisabled, which belongs to the calling thread from then on if it has
// SetupSingleIssuer. It does nothing if the ring is enabled.
func (r *Ring) Enable() error {
	if !r.disabled {
		return nil
	}
	if err := r.Register(RegisterEnableRings, nil, 0); err != nil {
		return fmt.Errorf("uring: enable: %w", err)
	}
	r.disabled = false
	return nil
}

// SQE returns the next submission entry, zeroed, or nil if the queue is full; Submit makes room. The entry is part of
// the next Submit, Look or Wait, and must not be touched afterwards.
func (r *Ring) SQE() *SQE {
	if r.sqNext-atomic.LoadUint32(r.sqHead) >= r.sqEntries {
		return nil
	}
	s := &r.sqes[r.sqNext&r.sqMask]
	r.sqNext++
	*s = SQE{}
	return s
}

// Prepared is the number of entries that the kernel has not taken yet.
func (r *Ring) Prepared() uint32 { return r.sqNext - atomic.LoadUint32(r.sqHead) }

// Submit hands over what is prepared. It never sleeps. EAGAIN (no memory for requests) and EBUSY (too many completions
// not taken) are returned as they are: the entries stay prepared, and the caller takes completions and tries again.
func (r *Ring) Submit() error {
	n := r.publish()
	if n == 0 {
		return nil
	}
	_, errno := r.enterNow(n, 0)
	return enterError(errno)
}

// Look submits what is prepared and lets the kernel post completions that are due. It never sleeps, and enters the
// kernel only if that can have an effect. Errors are as for Submit; completions are posted also then.
func (r *Ring) Look() error {
	n := r.publish()
	if n == 0 && !r.lookAlways && atomic.LoadUint32(r.sqFlags)&r.lookFlags == 0 {
		return nil
	}
	taken, errno := r.enterNow(n, EnterGetEvents)
	return r.finishEnter(n, taken, errno)
}

// Wait submits what is prepared and sleeps until there is a completion or the timeout has passed; for ever, if it is
// negative. It is Look if there is a completion already. It may return early with neither, without an error. Errors
// are as for Submit, and mean that it did not sleep.
func (r *Ring) Wait(timeout time.Duration) error {
	if timeout == 0 || r.Ready() > 0 {
		return r.Look()
	}
	n := r.publish()
	r.timeout.Sec = int64(timeout / time.Second)
	r.timeout.Nsec = int64(timeout % time.Second)
	taken, errno := r.enterSleep(n, timeout > 0)
	return r.finishEnter(n, taken, errno)
}

// publish shows the prepared entries to the kernel and returns how many it has not taken.
func (r *Ring) publish() uint32 {
	n := r.Prepared()
	if n != 0 {
		atomic.StoreUint32(r.sqTail, r.sqNext)
	}
	return n
}

// finishEnter ends an enter that was asked for completions. When the kernel takes fewer entries than offered it leaves
// at once, without a look at completions (io_uring_enter(2), SYSCALL_DEFINE6 in io_uring/io_uring.c): so it is asked
// again for them alone.
func (r *Ring) finishEnter(offered, taken uint32, errno syscall.Errno) error {
	short := errno == 0 && taken < offered
	if short || errno == unix.EAGAIN || errno == unix.EBUSY {
		if _, again := r.enterNow(0, EnterGetEvents); errno == 0 {
			errno = again
		}
	}
	return enterError(errno)
}

// enterError decides what every errno of io_uring_enter(2) means.
func enterError(errno syscall.Errno) error {
	switch errno {
	case 0, unix.EINTR, unix.ETIME:
		return nil // the caller looks for completions in any case
	case unix.EAGAIN, unix.EBUSY:
		return errno
	}
	return fmt.Errorf("uring: enter: %w", errno)
}

// Peek returns the next completion, or nil. It is valid until Advance.
func (r *Ring) Peek() *CQE {
	if r.cqNext == atomic.LoadUint32(r.cqTail) {
		return nil
	}
	return &r.cqes[r.cqNext&r.cqMask]
}

// Advance gives the slot of the completion that Peek returned back to the kernel. There must be one.
func (r *Ring) Advance() {
	r.cqNext++
	atomic.StoreUint32(r.cqHead, r.cqNext)
}

// Ready is the number of completions in the queue.
func (r *Ring) Ready() uint32 { return atomic.LoadUint32(r.cqTail) - r.cqNext }

// Overflowed tells that the kernel holds completions for which the queue had no room. They are not lost: they come
// with a Look or Wait when there is room. Since Linux 5.5 (FeatNoDrop).
func (r *Ring) Overflowed() bool { return atomic.LoadUint32(r.sqFlags)&SQCQOverflow != 0 }

// RegisterRingFD makes enter cheaper by registering the descriptor with the calling thread, which must be the one that
// enters from then on. If the kernel refuses, the error says why, and the ring works on with the plain descriptor. A
// thread has room for 16. Since Linux 5.18; io_uring_register_ring_fd(3).
func (r *Ring) RegisterRingFD() error {
	if r.registeredTID != 0 {
		return nil
	}
	index, err := r.registerRingFD()
	if err != nil {
		return fmt.Errorf("uring: register ring descriptor: %w", err)
	}
	r.registeredTID = unix.Gettid()
	r.enterFD = uintptr(index)
	r.enterFlags = EnterRegisteredRing
	return nil
}

// dropRingFD undoes RegisterRingFD. The index means something only to the thread that registered it; on any other it
// could be another ring's. Left alone, the registration, and with it the ring, lives until its thread ends.
func (r *Ring) dropRingFD() {
	if r.registeredTID != 0 && r.registeredTID == unix.Gettid() {
		_ = r.unregisterRingFD(uint32(r.enterFD))
	}
	r.registeredTID = 0
	r.enterFlags = 0
}

// Close closes the descriptor first and frees the memory of the queues afterwards. Requests should have been finished
// before: the kernel cancels what is left in its own time, after Close has returned, so that memory they refer to would
// have to stay. A closed ring has no entries and no completions. To call Close again does nothing.
func (r *Ring) Close() error {
	if r.fd < 0 {
		return nil
	}
	r.dropRingFD()
	err := unix.Close(r.fd)
	r.fd = -1
	r.enterFD = ^uintptr(0)
	r.unmapQueues()
	if err != nil {
		return fmt.Errorf("uring: close: %w", err)
	}
	return nil
}
