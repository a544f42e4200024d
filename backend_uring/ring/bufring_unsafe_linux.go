package ring

import (
	"sync/atomic"
	"unsafe"
)

func (b *BufRing) mapEntries(n int) (err error) {
	if b.mem, err = mapMemory(uintptr(n) * unsafe.Sizeof(Buf{})); err != nil {
		return err
	}
	b.entries = unsafe.Slice((*Buf)(b.mem.base), n)
	return nil
}

func (b *BufRing) register() error {
	reg := BufReg{RingAddr: uint64(uintptr(b.mem.base)), RingEntries: uint32(len(b.entries)), BGID: b.group}
	return b.ring.Register(RegisterPBufRing, unsafe.Pointer(&reg), 1)
}

func (b *BufRing) unregister() error {
	reg := BufReg{BGID: b.group}
	return b.ring.Register(UnregisterPBufRing, unsafe.Pointer(&reg), 1)
}

// lend fills an entry, but for resv, which is the ring's tail in the first entry.
func (e *Buf) lend(bid uint16, p []byte) {
	e.Addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	e.Len = uint32(len(p))
	e.BID = bid
}

// storeTail publishes the tail. Go has no atomic store of 16 bits, so it also writes the id of the first entry,
// unchanged: on a little-endian machine that is the lower half of the word. The kernel only reads it.
func (b *BufRing) storeTail(tail uint16) {
	first := &b.entries[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.BID)), uint32(first.BID)|uint32(tail)<<16)
}
