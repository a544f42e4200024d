package ringtest

import (
	"math/bits"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend_uring/ring"
)

// queues are the kernel's side of a ring's memory, which is drawn in package ring. It is a file in memory that both
// sides map, at the offsets at which the kernel has the parts of a ring.
type queues struct {
	sqHead, sqTail, sqFlags *uint32
	cqHead, cqTail          *uint32
	array                   []uint32 // nil: the entries are used in turn
	sqes                    []ring.SQE
	cqes                    []ring.CQE
	rings, entries          []byte // the mappings
}

// Where the words lie, in bytes.
const (
	atSQHead, atSQTail, atSQMask, atSQEntries, atSQFlags = 0, 4, 8, 12, 16
	atCQHead, atCQTail, atCQMask, atCQEntries, atCQEs    = 64, 68, 72, 76, 128

	mapSQEs = 0x10000000 // IORING_OFF_SQES

	sqLimit, cqLimit = 32768, 65536
)

func roundUp(n uint32) uint32 { return 1 << bits.Len32(n-1) }

// makeQueues sizes the queues as io_uring_setup(2) does, fills in p, and maps them out of a new file.
func makeQueues(entries uint32, p *ring.Params) (q queues, fd int, _ syscall.Errno) {
	if p.Flags&ring.SetupClamp == 0 && entries > sqLimit {
		return q, -1, unix.EINVAL
	}
	sq := roundUp(min(entries, sqLimit))
	cq := 2 * sq
	if p.Flags&ring.SetupCQSize != 0 {
		cq = max(roundUp(min(p.CQEntries, cqLimit)), sq)
	}
	array := atCQEs + cq*uint32(unsafe.Sizeof(ring.CQE{}))
	size := array + 4*sq
	p.SQEntries, p.CQEntries = sq, cq
	p.SQOff = ring.SQOffsets{Head: atSQHead, Tail: atSQTail, RingMask: atSQMask, RingEntries: atSQEntries, Flags: atSQFlags, Array: array}
	p.CQOff = ring.CQOffsets{Head: atCQHead, Tail: atCQTail, RingMask: atCQMask, RingEntries: atCQEntries, CQEs: atCQEs}
	fd, err := unix.MemfdCreate("io_uring emulated", unix.MFD_CLOEXEC)
	if err != nil {
		return q, -1, err.(syscall.Errno)
	}
	bytes := int(sq) * int(unsafe.Sizeof(ring.SQE{}))
	if err = unix.Ftruncate(fd, int64(mapSQEs+bytes)); err == nil {
		if q.rings, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			q.entries, err = unix.Mmap(fd, mapSQEs, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
	}
	if err != nil {
		q.unmap()
		_ = unix.Close(fd)
		return queues{}, -1, err.(syscall.Errno)
	}
	q.point(sq, cq, array, p.Flags)
	return q, fd, 0
}

func (q *queues) word(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&q.rings[at])) }

func (q *queues) point(sq, cq, array, flags uint32) {
	*q.word(atSQMask), *q.word(atSQEntries) = sq-1, sq
	*q.word(atCQMask), *q.word(atCQEntries) = cq-1, cq
	q.sqHead, q.sqTail, q.sqFlags = q.word(atSQHead), q.word(atSQTail), q.word(atSQFlags)
	q.cqHead, q.cqTail = q.word(atCQHead), q.word(atCQTail)
	if flags&ring.SetupNoSQArray == 0 {
		q.array = unsafe.Slice(q.word(array), sq)
	}
	q.sqes = unsafe.Slice((*ring.SQE)(unsafe.Pointer(&q.entries[0])), sq)
	q.cqes = unsafe.Slice((*ring.CQE)(unsafe.Pointer(&q.rings[atCQEs])), cq)
}

func (q *queues) unmap() {
	for _, m := range [][]byte{q.rings, q.entries} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	*q = queues{}
}

// prepared is how many entries the kernel has not taken.
func (q *queues) prepared() uint32 { return atomic.LoadUint32(q.sqTail) - *q.sqHead }

// takeEntry copies the next entry out of the queue.
func (q *queues) takeEntry() ring.SQE {
	head := *q.sqHead
	i := head & uint32(len(q.sqes)-1)
	if q.array != nil {
		i = q.array[i] & uint32(len(q.sqes)-1)
	}
	e := q.sqes[i]
	atomic.StoreUint32(q.sqHead, head+1)
	return e
}

// ready is how many completions have not been taken.
func (q *queues) ready() uint32 { return *q.cqTail - atomic.LoadUint32(q.cqHead) }

// put posts a completion, if there is room.
func (q *queues) put(c ring.CQE) bool {
	if q.ready() == uint32(len(q.cqes)) {
		return false
	}
	tail := *q.cqTail
	q.cqes[tail&uint32(len(q.cqes)-1)] = c
	atomic.StoreUint32(q.cqTail, tail+1)
	return true
}

// show sets or clears a flag that the other side reads.
func (q *queues) show(flag uint32, on bool) {
	if on {
		atomic.StoreUint32(q.sqFlags, *q.sqFlags|flag)
	} else {
		atomic.StoreUint32(q.sqFlags, *q.sqFlags&^flag)
	}
}

// at is what lies at an address out of an entry. Whoever submitted the entry keeps it there.
func at[T any](address uint64) *T { return *(**T)(unsafe.Pointer(&address)) }

func bytesAt(address uint64, n int) []byte { return unsafe.Slice(at[byte](address), n) }

// tailOf is the tail of a buffer ring, the last two bytes of its first entry.
func tailOf(first *ring.Buf) uint16 {
	return uint16(atomic.LoadUint32((*uint32)(unsafe.Pointer(&first.BID))) >> 16)
}

func entriesAt(address uint64, n uint32) []ring.Buf { return unsafe.Slice(at[ring.Buf](address), n) }

// The following are the calls that the kernel would make for a request. None of them sleeps.

func receiveAt(fd int, address uint64, n int) (int, syscall.Errno) {
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(address), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	return int(got), errno
}

func readAt(fd int, address uint64, n int) (int, syscall.Errno) {
	got, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(address), uintptr(n), 0, 0, 0)
	return int(got), errno
}

func sendAt(fd int, address uint64, n int, flags uint32) (int, syscall.Errno) {
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(address), uintptr(n), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	return int(sent), errno
}

// vectorAt are the pieces of a message, at most n bytes in all.
func vectorAt(address uint64, n int) (pieces []unix.Iovec, total int) {
	m := at[unix.Msghdr](address)
	for _, v := range unsafe.Slice(m.Iov, m.Iovlen) {
		if rest := n - total; rest < int(v.Len) {
			v.SetLen(rest)
		}
		total += int(v.Len)
		pieces = append(pieces, v)
	}
	return pieces, total
}

func sendPieces(fd int, pieces []unix.Iovec, flags uint32) (int, syscall.Errno) {
	m := &unix.Msghdr{Iov: unsafe.SliceData(pieces)}
	m.SetIovlen(len(pieces))
	sent, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), uintptr(flags|unix.MSG_DONTWAIT))
	return int(sent), errno
}

// sumOf is a hash of bytes that are being sent, which shows whether they have changed meanwhile.
func sumOf(pieces []unix.Iovec) uint64 {
	sum := uint64(1469598103934665603)
	for _, v := range pieces {
		for _, b := range unsafe.Slice(v.Base, v.Len) {
			sum = (sum ^ uint64(b)) * 1099511628211
		}
	}
	return sum
}
