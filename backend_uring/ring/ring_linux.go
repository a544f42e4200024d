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
// All methods belong to one goroutine. A ring with SetupSingleIssuer belongs to the thread that called Enable (or New,
// without SetupRDisabled): the kernel answers EEXIST to any other thread, so the goroutine has to be locked to its
// thread. When that thread ends, the kernel cancels what it submitted. A Ring must not be copied.
type Ring struct {
	// The fields that every turn uses come first.
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
	cqFlags   *uint32
	cqNext    uint32 // the head that was published last
	cqMask    uint32
	cqEntries uint32

	enterFD     uintptr // the descriptor, or its registered index
	enterFlags  uint32  // EnterRegisteredRing, if it is the index
	workFlags   uint32  // SQ flags that make Enter call the kernel when nothing is prepared
	alwaysEnter bool    // no flag shows that completions are due: Enter always calls the kernel
	enters      uint64

	// The kernel reads these during Wait. They are in the heap with the rest of the Ring, never on a stack.
	arg     getEventsArg
	timeout KernelTimespec

	kernel        Kernel // nil: the machine's
	fd            int
	flags         uint32
	features      uint32
	disabled      bool
	waitFlags     uint32
	registeredTID int // the thread for which the descriptor is registered, or 0
	ringMem       mapping
	sqeMem        mapping
}

// The memory of a ring: which side writes which word, and in which order.
//
//	                      this process                           the kernel, in enter
//	SQ array   index      written once: entry i is at i          read   (absent with SetupNoSQArray)
//	SQ         entries    1. filled, by SQE and Prep             3. read
//	           tail       2. store-release, by Submit            3. load-acquire
//	           head       5. load-acquire, by SQE                4. store-release: the entries before are free
//	           flags      load, by Enter                         written at any time
//	CQ         entries    3. read, by PeekCQE                    1. written, at any time
//	           tail       3. load-acquire, by PeekCQE            2. store-release
//	           head       4. store-release, by Advance           5. load-acquire: the entries before are free
//
// Head and tail only grow and wrap at 2^32; the mask turns them into an index. Loads and stores of sync/atomic are
// sequentially consistent, which is more than this needs.

const (
	// requiredFeatures are one mapping for both queues, no loss of completions that overflow, and a timeout in enter.
	// Since Linux 5.11; io_uring_setup(2).
	requiredFeatures = FeatSingleMmap | FeatNoDrop | FeatExtArg

	// unsupportedSetup are flags that change the layout of entries or how memory is shared, or that need another enter.
	unsupportedSetup = SetupIOPoll | SetupSQPoll | SetupSQAff | SetupAttachWQ | SetupSQE128 | SetupCQE32 |
		SetupNoMmap | SetupRegisteredFDOnly | SetupHybridIOPoll | SetupCQEMixed
)

// New makes a ring with room for that many submissions, rounded up to a power of two, and for cqEntries completions; 0
// means twice the submissions. SetupCQSize follows from cqEntries and need not be in flags. The descriptor is
// close-on-exec. The error wraps the kernel's errno, or errors.ErrUnsupported.
func New(entries, cqEntries, flags uint32) (*Ring, error) {
	return NewOn(nil, entries, cqEntries, flags)
}

// NewOn is New on another kernel than the machine's; nil is the machine's.
func NewOn(k Kernel, entries, cqEntries, flags uint32) (*Ring, error) {
	if cpu.IsBigEndian || flags&unsupportedSetup != 0 {
		return nil, fmt.Errorf("uring: setup: flags %#x on this machine: %w", flags, errors.ErrUnsupported)
	}
	p := Params{CQEntries: cqEntries, Flags: flags &^ SetupCQSize}
	if cqEntries != 0 {
		p.Flags |= SetupCQSize
	}
	fd, errno := setup(k, entries, &p)
	if errno != 0 {
		return nil, fmt.Errorf("uring: setup: %w", errno)
	}
	r := &Ring{kernel: k, fd: fd, enterFD: uintptr(fd), flags: p.Flags, features: p.Features}
	r.disabled = p.Flags&SetupRDisabled != 0
	r.chooseEnter()
	if p.Features&requiredFeatures != requiredFeatures {
		_ = r.Close()
		return nil, fmt.Errorf("uring: setup: the kernel has features %#x of %#x: %w",
			p.Features&requiredFeatures, requiredFeatures, errors.ErrUnsupported)
	}
	if err := r.mapQueues(&p); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("uring: map queues: %w", err)
	}
	return r, nil
}

// chooseEnter decides when Enter has to call the kernel although nothing is prepared, and how Wait sleeps.
func (r *Ring) chooseEnter() {
	r.workFlags = SQCQOverflow | SQTaskrun
	// Without SetupTaskrunFlag nothing shows that deferred or cooperative task work is pending.
	lazy := r.flags&(SetupDeferTaskrun|SetupCoopTaskrun) != 0
	r.alwaysEnter = lazy && r.flags&SetupTaskrunFlag == 0
	r.waitFlags = EnterGetEvents
	if r.features&FeatNoIOWait != 0 {
		// Since Linux 6.15; io_uring_enter(2). A loop that waits for peers is idle, not waiting for a disk.
		r.waitFlags |= EnterNoIOWait
	}
}

// FD returns the descriptor of the ring, or -1 after Close.
func (r *Ring) FD() int { return r.fd }

// Features returns the Feat bits of the kernel.
func (r *Ring) Features() uint32 { return r.features }

// Entries returns the sizes of the queues, as the kernel rounded them.
func (r *Ring) Entries() (sq, cq uint32) { return r.sqEntries, r.cqEntries }

// Enters returns the number of calls of io_uring_enter(2) so far.
func (r *Ring) Enters() uint64 { return r.enters }

// Enable starts a ring made with SetupRDisabled. With SetupSingleIssuer the ring belongs to the calling thread from
// then on. It does nothing if the ring is enabled.
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

// SQE returns the next submission entry, zeroed, or nil if the queue is full; Submit makes room. The next Submit, Enter
// or Wait hands the entry over, and it must not be touched afterwards.
func (r *Ring) SQE() *SQE {
	if r.sqNext-atomic.LoadUint32(r.sqHead) >= r.sqEntries {
		return nil
	}
	s := &r.sqes[r.sqNext&r.sqMask]
	r.sqNext++
	*s = SQE{}
	return s
}

// Prepared returns the number of entries that the kernel has not taken yet.
func (r *Ring) Prepared() uint32 { return r.sqNext - atomic.LoadUint32(r.sqHead) }

// Submit hands over the prepared entries. It never sleeps. EAGAIN (no memory for requests) and EBUSY (too many
// completions not taken) are returned as they are: the entries stay prepared, and the caller takes completions and
// tries again.
func (r *Ring) Submit() error {
	n := r.publish()
	if n == 0 {
		return nil
	}
	_, errno := r.enterNow(n, 0)
	return enterError(errno)
}

// Enter submits the prepared entries and lets the kernel post completions that are due. It never sleeps, and makes the
// system call only if that can have an effect. Errors are those of Submit; completions are posted even so.
func (r *Ring) Enter() error {
	n := r.publish()
	if n == 0 && !r.alwaysEnter && atomic.LoadUint32(r.sqFlags)&r.workFlags == 0 {
		return nil
	}
	taken, errno := r.enterNow(n, EnterGetEvents)
	return r.finishEnter(n, taken, errno)
}

// Wait submits the prepared entries and sleeps until there is a completion or the timeout has passed; a negative
// timeout never passes. If there is a completion already, Wait is Enter. It may return early with neither, without an
// error. Errors are those of Submit, and mean that it did not sleep.
func (r *Ring) Wait(timeout time.Duration) error { return r.wait(timeout, false) }

// WaitHeld is Wait without a word to Go's scheduler: other goroutines, and the garbage collector, may wait for the thread
// until the timeout has passed, which must not be negative.
func (r *Ring) WaitHeld(timeout time.Duration) error { return r.wait(timeout, true) }

func (r *Ring) wait(timeout time.Duration, held bool) error {
	if timeout == 0 || r.Ready() > 0 {
		return r.Enter()
	}
	n := r.publish()
	r.timeout.Sec = int64(timeout / time.Second)
	r.timeout.Nsec = int64(timeout % time.Second)
	taken, errno := r.enterSleep(n, timeout > 0, held)
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

// finishEnter ends an enter that was asked for completions. When the kernel takes fewer entries than offered, it
// returns at once without posting completions (io_uring_enter(2), SYSCALL_DEFINE6 in io_uring/io_uring.c), so
// finishEnter asks for them alone.
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
		return nil // the caller checks for completions in any case
	case unix.EAGAIN, unix.EBUSY:
		return errno
	}
	return fmt.Errorf("uring: enter: %w", errno)
}

// PeekCQE returns the next completion, or nil. It is valid until Advance.
func (r *Ring) PeekCQE() *CQE {
	if r.cqNext == atomic.LoadUint32(r.cqTail) {
		return nil
	}
	return &r.cqes[r.cqNext&r.cqMask]
}

// Advance gives the slot of the completion that PeekCQE returned back to the kernel. There must be one.
func (r *Ring) Advance() {
	r.cqNext++
	atomic.StoreUint32(r.cqHead, r.cqNext)
}

// Ready returns the number of completions in the queue.
func (r *Ring) Ready() uint32 { return atomic.LoadUint32(r.cqTail) - r.cqNext }

// Overflowed reports whether the kernel holds completions for which the queue had no room. They are not lost: Enter or
// Wait posts them when there is room. Since Linux 5.5 (FeatNoDrop).
func (r *Ring) Overflowed() bool { return atomic.LoadUint32(r.sqFlags)&SQCQOverflow != 0 }

// RegisterRingFD makes enter cheaper by registering the descriptor with the calling thread, which must make all enters
// from then on. If the kernel refuses, the error says why, and the ring continues to use the plain descriptor. A thread
// has room for 16. Since Linux 5.18; io_uring_register_ring_fd(3).
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

// dropRingFD undoes RegisterRingFD. The index is valid only on the thread that registered it; on any other it could be
// another ring's. A registration that is not dropped, and its ring, live until the thread ends.
func (r *Ring) dropRingFD() {
	if r.registeredTID != 0 && r.registeredTID == unix.Gettid() {
		_ = r.unregisterRingFD(uint32(r.enterFD))
	}
	r.registeredTID = 0
	r.enterFlags = 0
}

// Close closes the descriptor, and then frees the memory of the queues. Requests should have finished before: the
// kernel cancels the rest in its own time, after Close has returned, so the memory they refer to must stay. A closed
// ring has no entries and no completions. Calling Close again does nothing.
func (r *Ring) Close() error {
	if r.fd < 0 {
		return nil
	}
	r.dropRingFD()
	err := r.closeFD()
	r.fd = -1
	r.enterFD = ^uintptr(0)
	r.unmapQueues()
	if err != nil {
		return fmt.Errorf("uring: close: %w", err)
	}
	return nil
}
