//go:build linux

package ring

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// layout is a size or an offset, as this package has it and as linux/io_uring.h has it, on every architecture.
type layout struct {
	name      string
	got, want uintptr
}

func checkLayout(t *testing.T, all []layout) {
	t.Helper()
	for _, l := range all {
		assert.Equal(t, l.want, l.got, l.name)
	}
}

func TestLayoutOfEntries(t *testing.T) {
	var (
		sqe SQE
		cqe CQE
		ts  KernelTimespec
	)
	checkLayout(t, []layout{
		{"sizeof sqe", unsafe.Sizeof(sqe), 64},
		{"sqe.opcode", unsafe.Offsetof(sqe.Opcode), 0},
		{"sqe.flags", unsafe.Offsetof(sqe.Flags), 1},
		{"sqe.ioprio", unsafe.Offsetof(sqe.IoPrio), 2},
		{"sqe.fd", unsafe.Offsetof(sqe.Fd), 4},
		{"sqe.off", unsafe.Offsetof(sqe.Off), 8},
		{"sqe.addr", unsafe.Offsetof(sqe.Addr), 16},
		{"sqe.len", unsafe.Offsetof(sqe.Len), 24},
		{"sqe.msg_flags", unsafe.Offsetof(sqe.OpFlags), 28},
		{"sqe.user_data", unsafe.Offsetof(sqe.UserData), 32},
		{"sqe.buf_group", unsafe.Offsetof(sqe.BufIndex), 40},
		{"sqe.personality", unsafe.Offsetof(sqe.Personality), 42},
		{"sqe.splice_fd_in", unsafe.Offsetof(sqe.SpliceFdIn), 44},
		{"sqe.addr3", unsafe.Offsetof(sqe.Addr3), 48},
		{"sqe.__pad2", unsafe.Offsetof(sqe._pad), 56},
		{"sizeof cqe", unsafe.Sizeof(cqe), 16},
		{"cqe.user_data", unsafe.Offsetof(cqe.UserData), 0},
		{"cqe.res", unsafe.Offsetof(cqe.Res), 8},
		{"cqe.flags", unsafe.Offsetof(cqe.Flags), 12},
		{"sizeof timespec", unsafe.Sizeof(ts), 16},
		{"timespec.tv_nsec", unsafe.Offsetof(ts.Nsec), 8},
	})
}

func TestLayoutOfArguments(t *testing.T) {
	var (
		par Params
		sq  SQOffsets
		cq  CQOffsets
		arg getEventsArg
		upd RsrcUpdate
		reg BufReg
		bf  Buf
	)
	checkLayout(t, []layout{
		{"sizeof params", unsafe.Sizeof(par), 120},
		{"params.cq_entries", unsafe.Offsetof(par.CQEntries), 4},
		{"params.flags", unsafe.Offsetof(par.Flags), 8},
		{"params.features", unsafe.Offsetof(par.Features), 20},
		{"params.wq_fd", unsafe.Offsetof(par.WQFD), 24},
		{"params.sq_off", unsafe.Offsetof(par.SQOff), 40},
		{"params.cq_off", unsafe.Offsetof(par.CQOff), 80},
		{"sizeof sqring_offsets", unsafe.Sizeof(sq), 40},
		{"sq_off.ring_mask", unsafe.Offsetof(sq.RingMask), 8},
		{"sq_off.flags", unsafe.Offsetof(sq.Flags), 16},
		{"sq_off.array", unsafe.Offsetof(sq.Array), 24},
		{"sq_off.user_addr", unsafe.Offsetof(sq.UserAddr), 32},
		{"sizeof cqring_offsets", unsafe.Sizeof(cq), 40},
		{"cq_off.ring_mask", unsafe.Offsetof(cq.RingMask), 8},
		{"cq_off.overflow", unsafe.Offsetof(cq.Overflow), 16},
		{"cq_off.cqes", unsafe.Offsetof(cq.CQEs), 20},
		{"cq_off.user_addr", unsafe.Offsetof(cq.UserAddr), 32},
		{"sizeof getevents_arg", unsafe.Sizeof(arg), 24},
		{"getevents_arg.sigmask_sz", unsafe.Offsetof(arg.sigmaskSize), 8},
		{"getevents_arg.min_wait_usec", unsafe.Offsetof(arg.minWaitUsec), 12},
		{"getevents_arg.ts", unsafe.Offsetof(arg.ts), 16},
		{"sizeof rsrc_update", unsafe.Sizeof(upd), 16},
		{"rsrc_update.data", unsafe.Offsetof(upd.Data), 8},
		{"sizeof buf_reg", unsafe.Sizeof(reg), 40},
		{"buf_reg.ring_entries", unsafe.Offsetof(reg.RingEntries), 8},
		{"buf_reg.bgid", unsafe.Offsetof(reg.BGID), 12},
		{"buf_reg.flags", unsafe.Offsetof(reg.Flags), 14},
		{"buf_reg.min_left", unsafe.Offsetof(reg.MinLeft), 16},
		{"sizeof buf", unsafe.Sizeof(bf), 16},
		{"buf.len", unsafe.Offsetof(bf.Len), 8},
		{"buf.bid", unsafe.Offsetof(bf.BID), 12},
		{"buf_ring.tail", unsafe.Offsetof(bf.Resv), 14},
	})
}

func TestCQEBuffer(t *testing.T) {
	c := CQE{Flags: 0xbeef<<CQEBufferShift | CQEFBuffer | CQEFMore}
	bid, ok := c.Buffer()
	assert.True(t, ok)
	assert.EqualValues(t, 0xbeef, bid)
	assert.True(t, c.More())
	c.Flags = CQEFSockNonEmpty
	_, ok = c.Buffer()
	assert.False(t, ok, "a completion without a buffer has one")
	assert.False(t, c.More())
}
