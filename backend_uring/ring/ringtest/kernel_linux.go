package ringtest

import (
	"fmt"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Kernel is a ring.Kernel that emulates io_uring with plain system calls. Its methods are those of the interface; any
// goroutine may call them.
type Kernel struct {
	seed   uint64
	habits Habits

	mu     sync.Mutex // guards what follows
	rings  map[int]*instance
	made   uint64
	faults []string
}

var _ ring.Kernel = (*Kernel)(nil)

// New makes a Kernel that decides by the seed when to follow which habit: the nth decision of one kind on the nth ring
// is always the same.
func New(seed uint64, h Habits) *Kernel {
	return &Kernel{seed: seed, habits: h, rings: map[int]*instance{}}
}

// String says how to make the same Kernel again.
func (k *Kernel) String() string { return fmt.Sprintf("seed %d, habits %+v", k.seed, k.habits) }

// Faults are what the users of the rings have done wrong so far. None of it has an effect on the kernel's side: a real
// one would not notice.
func (k *Kernel) Faults() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.faults...)
}

const mostFaults = 20

func (k *Kernel) fault(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.faults) < mostFaults {
		k.faults = append(k.faults, fmt.Sprintf(format, args...))
	}
}

// supported are the set-up flags that the emulator knows.
const supported = ring.SetupCQSize | ring.SetupClamp | ring.SetupRDisabled | ring.SetupSubmitAll | ring.SetupCoopTaskrun |
	ring.SetupTaskrunFlag | ring.SetupSingleIssuer | ring.SetupDeferTaskrun | ring.SetupNoSQArray

// Setup implements ring.Kernel.
func (k *Kernel) Setup(entries uint32, p *ring.Params) (int, syscall.Errno) {
	if errno := k.checkSetup(entries, p); errno != 0 {
		return -1, errno
	}
	k.mu.Lock()
	k.made++
	number := k.made
	k.mu.Unlock()
	r := &instance{
		kernel: k, dice: dice{seed: mix(k.seed, number)}, flags: p.Flags,
		files: map[int]*file{}, polled: map[uint64]*file{}, groups: map[uint16]*group{}, named: map[uint64][]*request{},
	}
	if errno := r.open(entries, p); errno != 0 {
		r.close()
		return -1, errno
	}
	k.mu.Lock()
	k.rings[r.fd] = r
	k.mu.Unlock()
	return r.fd, 0
}

func (k *Kernel) checkSetup(entries uint32, p *ring.Params) syscall.Errno {
	switch {
	case entries == 0, p.Flags&^supported != 0:
		return unix.EINVAL
	case p.Flags&ring.SetupNoSQArray != 0 && k.habits.SQArray:
		return unix.EINVAL
	case p.Flags&ring.SetupDeferTaskrun != 0 && p.Flags&ring.SetupSingleIssuer == 0:
		return unix.EINVAL
	case p.Flags&ring.SetupCQSize != 0 && p.CQEntries < entries:
		return unix.EINVAL
	}
	return 0
}

func (k *Kernel) find(fd int) *instance {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.rings[fd]
}

// Enter implements ring.Kernel.
func (k *Kernel) Enter(fd int, submit, wait, flags uint32, timeout *ring.KernelTimespec) (uint32, syscall.Errno) {
	r := k.find(fd)
	if r == nil {
		return 0, unix.EBADF
	}
	return r.enter(submit, wait, flags, timeout)
}

// Register implements ring.Kernel.
func (k *Kernel) Register(fd int, op uint32, arg unsafe.Pointer, n uint32) syscall.Errno {
	if op == ring.RegisterSendMsgRing {
		return k.send((*ring.SQE)(arg))
	}
	r := k.find(fd)
	if r == nil {
		return unix.EBADF
	}
	if r.flags&ring.SetupSingleIssuer != 0 && r.enabled.Load() && r.thread != unix.Gettid() {
		return unix.EEXIST
	}
	switch {
	case op == ring.RegisterEnableRings:
		r.enable()
		return 0
	case op == ring.RegisterRingFDs && n == 1:
		if r.dice.chance(refuseRingFD, k.habits.RefuseRingFD) {
			return unix.EBUSY
		}
		(*ring.RsrcUpdate)(arg).Offset = uint32(fd) // the index is the emulator's own business
		return 0
	case op == ring.UnregisterRingFDs:
		return 0
	case op == ring.RegisterPBufRing:
		return r.addGroup((*ring.BufReg)(arg))
	case op == ring.UnregisterPBufRing:
		delete(r.groups, (*ring.BufReg)(arg).BGID)
		return 0
	}
	return unix.EINVAL
}

// send is MSG_RING without a ring of its own. Since Linux 6.13; io_uring_sync_msg_ring in io_uring/msg_ring.c.
func (k *Kernel) send(e *ring.SQE) syscall.Errno {
	if k.habits.NoMessages {
		return unix.EINVAL
	}
	r := k.find(int(e.Fd))
	switch {
	case r == nil:
		return unix.EBADF
	case !r.enabled.Load():
		return unix.EBADFD
	}
	return r.message(ring.CQE{UserData: e.Off, Res: int32(e.Len)})
}

// Close implements ring.Kernel. The kernel ends what is in flight in its own time; here that is at once.
func (k *Kernel) Close(fd int) error {
	k.mu.Lock()
	r := k.rings[fd]
	delete(k.rings, fd)
	k.mu.Unlock()
	if r == nil {
		return unix.EBADF
	}
	r.close()
	return nil
}
