package ring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setup is io_uring_setup(2). The descriptor it returns is close-on-exec.
func setup(k Kernel, entries uint32, p *Params) (int, syscall.Errno) {
	if k != nil {
		return k.Setup(entries, p)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	return int(fd), errno
}

// enterNow is io_uring_enter(2) with min_complete 0, which cannot sleep. It does not notify Go's scheduler: that would
// cost more than the call.
func (r *Ring) enterNow(submit, flags uint32) (taken uint32, _ syscall.Errno) {
	for {
		r.enters++
		if r.kernel != nil {
			return r.kernel.Enter(int(r.enterFD), submit, 0, flags|r.enterFlags, nil)
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(submit), 0,
			uintptr(flags|r.enterFlags), 0, 0)
		if errno == 0 {
			return uint32(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// enterSleep is io_uring_enter(2) that may sleep, for at most r.timeout if timed. ETIME and EINTR are reported only
// when nothing was submitted. If held, Go's scheduler is not notified. Since Linux 5.11 (FeatExtArg); io_uring_enter(2).
func (r *Ring) enterSleep(submit uint32, timed, held bool) (taken uint32, _ syscall.Errno) {
	flags := r.waitFlags | r.enterFlags
	r.enters++
	if r.kernel != nil {
		return r.kernel.Enter(int(r.enterFD), submit, 1, flags, r.timeoutIf(timed))
	}
	var arg unsafe.Pointer
	var size uintptr
	if timed {
		flags |= EnterExtArg
		r.arg.ts = uint64(uintptr(unsafe.Pointer(&r.timeout)))
		arg, size = unsafe.Pointer(&r.arg), unsafe.Sizeof(r.arg)
	}
	var n uintptr
	var errno syscall.Errno
	if held {
		n, _, errno = unix.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(submit), 1, uintptr(flags), uintptr(arg), size)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(submit), 1, uintptr(flags), uintptr(arg), size)
	}
	if errno != 0 {
		return 0, errno
	}
	return uint32(n), 0
}

func (r *Ring) timeoutIf(timed bool) *KernelTimespec {
	if !timed {
		return nil
	}
	return &r.timeout
}

// closeFD is close(2).
func (r *Ring) closeFD() error {
	if r.kernel != nil {
		return r.kernel.Close(r.fd)
	}
	return unix.Close(r.fd)
}

// Register is io_uring_register(2) on this ring; it may sleep. The operation defines what arg points to and what n
// counts. The error is a bare syscall.Errno. Once a ring with SetupSingleIssuer is enabled, only its own thread may
// call Register.
func (r *Ring) Register(op uint32, arg unsafe.Pointer, n uint32) error {
	if errno := r.register(op, arg, n); errno != 0 {
		return errno
	}
	return nil
}

func (r *Ring) register(op uint32, arg unsafe.Pointer, n uint32) syscall.Errno {
	if r.kernel != nil {
		return r.kernel.Register(r.fd, op, arg, n)
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(op), uintptr(arg), uintptr(n), 0, 0)
	return errno
}

// registerRingFD returns the index under which the calling thread knows the ring.
func (r *Ring) registerRingFD() (uint32, error) {
	u := RsrcUpdate{Offset: ^uint32(0), Data: uint64(r.fd)} // any free index
	if err := r.Register(RegisterRingFDs, unsafe.Pointer(&u), 1); err != nil {
		return 0, err
	}
	return u.Offset, nil
}

func (r *Ring) unregisterRingFD(index uint32) error {
	u := RsrcUpdate{Offset: index}
	return r.Register(UnregisterRingFDs, unsafe.Pointer(&u), 1)
}

// sendMsgRing is io_uring_register(2) without a ring: the kernel carries out a MSG_RING at once. It takes locks of the
// target that are held briefly and never while a thread sleeps, so Go's scheduler need not be notified.
func sendMsgRing(k Kernel, s *SQE) syscall.Errno {
	if k != nil {
		return k.Register(-1, RegisterSendMsgRing, unsafe.Pointer(s), 1)
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_REGISTER, ^uintptr(0), RegisterSendMsgRing,
		uintptr(unsafe.Pointer(s)), 1, 0, 0)
	return errno
}

// mapping is memory from mmap(2), outside Go's heap.
type mapping struct {
	base unsafe.Pointer
	size uintptr
}

// mapRing maps the part of a ring that begins at one of the off constants.
func mapRing(fd int, off int64, size uintptr) (mapping, error) {
	p, err := unix.MmapPtr(fd, off, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return mapping{p, size}, err
}

// mapMemory maps zeroed memory for the kernel to share.
func mapMemory(size uintptr) (mapping, error) {
	p, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	return mapping{p, size}, err
}

func (m mapping) word(off uint32) *uint32 { return (*uint32)(unsafe.Add(m.base, off)) }

// unmap frees the mapping. It does nothing if that is empty.
func (m *mapping) unmap() error {
	if m.base == nil {
		return nil
	}
	err := unix.MunmapPtr(m.base, m.size)
	*m = mapping{}
	return err
}

// mapQueues maps the queues that p describes and stores every address. After an error Close frees what was mapped.
func (r *Ring) mapQueues(p *Params) (err error) {
	sqSize := uintptr(p.SQOff.Array)
	if p.Flags&SetupNoSQArray == 0 {
		sqSize += uintptr(p.SQEntries) * unsafe.Sizeof(uint32(0))
	}
	cqSize := uintptr(p.CQOff.CQEs) + uintptr(p.CQEntries)*unsafe.Sizeof(CQE{})
	// Since Linux 5.4 (FeatSingleMmap) one mapping holds both rings.
	if r.ringMem, err = mapRing(r.fd, offSQRing, max(sqSize, cqSize)); err != nil {
		return err
	}
	if r.sqeMem, err = mapRing(r.fd, offSQEs, uintptr(p.SQEntries)*unsafe.Sizeof(SQE{})); err != nil {
		return err
	}
	m := r.ringMem
	r.sqHead, r.sqTail, r.sqFlags = m.word(p.SQOff.Head), m.word(p.SQOff.Tail), m.word(p.SQOff.Flags)
	r.sqEntries = p.SQEntries
	r.sqMask = *m.word(p.SQOff.RingMask)
	r.sqes = unsafe.Slice((*SQE)(r.sqeMem.base), p.SQEntries)
	r.cqHead, r.cqTail, r.cqFlags = m.word(p.CQOff.Head), m.word(p.CQOff.Tail), m.word(p.CQOff.Flags)
	r.cqEntries = p.CQEntries
	r.cqMask = *m.word(p.CQOff.RingMask)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Add(m.base, p.CQOff.CQEs)), p.CQEntries)
	r.sqNext, r.cqNext = *r.sqTail, *r.cqHead
	if p.Flags&SetupNoSQArray == 0 {
		for i, array := 0, unsafe.Slice(m.word(p.SQOff.Array), p.SQEntries); i < len(array); i++ {
			array[i] = uint32(i)
		}
	}
	return nil
}

// unmapQueues frees the memory of the queues and leaves empty queues, so that a late call finds nothing instead of
// causing a fault.
func (r *Ring) unmapQueues() {
	none := new(uint32)
	r.sqHead, r.sqTail, r.sqFlags, r.cqHead, r.cqTail, r.cqFlags = none, none, none, none, none, none
	r.sqNext, r.sqEntries, r.sqes = 0, 0, nil
	r.cqNext, r.cqEntries, r.cqes = 0, 0, nil
	_ = r.ringMem.unmap()
	_ = r.sqeMem.unmap()
}
