//go:build giouring && linux

package oracle

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	uring "github.com/tandem-io/tandem/backend_uring"
)

// What entries point to. Package variables lie still.
var (
	payload  = []byte("some bytes to send")
	envelope = new(unix.Msghdr)
)

// arguments are what the Prep methods are called with.
type arguments struct {
	fd    int
	group uint16
	n     uint32
	flags uint32
	data  uint64
	bytes []byte
}

var argumentSets = []arguments{
	{},
	{fd: 5, group: 6, n: 7, flags: unix.MSG_NOSIGNAL, data: 8, bytes: payload},
	{fd: 0x01020304, group: 0x0506, n: 0x0708090a, flags: 0x0b0c0d0e, data: 0x1112131415161718, bytes: payload[3:5]},
	{fd: math.MaxInt32, group: math.MaxUint16, n: math.MaxUint32, flags: math.MaxUint32, data: math.MaxUint64, bytes: payload[:1]},
	{fd: -1, group: 1 << 15, n: 1 << 31, flags: 1 << 31, data: 1 << 63, bytes: payload[:0]},
}

type entry = giouring.SubmissionQueueEntry

// pair fills one entry with ours and one with giouring's. Where giouring has no helper for all of what ours does, the
// rest is set on its entry with its constants, as its user would.
type pair struct {
	ours   func(*uring.SQE)
	theirs func(*entry)
}

// pairs are what there is to compare for every Prep method.
func pairs(a arguments) map[string][]pair {
	fd, flags, n := a.fd, a.flags, a.n
	return map[string][]pair{
		"PrepNop": {{(*uring.SQE).PrepNop, (*entry).PrepareNop}},
		"PrepAccept": {{func(s *uring.SQE) { s.PrepAccept(fd, flags) },
			func(e *entry) { e.PrepareAccept(fd, 0, 0, flags) }}},
		"PrepAcceptMultishot": {{func(s *uring.SQE) { s.PrepAcceptMultishot(fd, flags) },
			func(e *entry) { e.PrepareMultishotAccept(fd, 0, 0, int(flags)) }}},
		"PrepRecvSelect": {{func(s *uring.SQE) { s.PrepRecvSelect(fd, a.group, n) },
			func(e *entry) { e.PrepareRecv(fd, 0, n, 0); e.Flags |= giouring.SqeBufferSelect; e.BufIG = a.group }}},
		"PrepReadSelect": {{func(s *uring.SQE) { s.PrepReadSelect(fd, a.group, n) },
			func(e *entry) { e.PrepareRead(fd, 0, n, 0); e.Flags |= giouring.SqeBufferSelect; e.BufIG = a.group }}},
		"PrepRecvMultishot": {{func(s *uring.SQE) { s.PrepRecvMultishot(fd, a.group) },
			func(e *entry) {
				e.PrepareRecvMultishot(fd, 0, 0, 0)
				e.Flags |= giouring.SqeBufferSelect
				e.BufIG = a.group
			}}},
		"PrepSend": {{func(s *uring.SQE) { s.PrepSend(fd, a.bytes, flags) },
			func(e *entry) {
				e.PrepareSend(fd, addressOf(unsafe.SliceData(a.bytes)), uint32(len(a.bytes)), int(flags))
			}}},
		"PrepSendMsg": {{func(s *uring.SQE) { s.PrepSendMsg(fd, envelope, flags) },
			func(e *entry) { e.PrepareSendMsg(fd, message(envelope), flags) }}},
		"PrepPollAdd": {
			{func(s *uring.SQE) { s.PrepPollAdd(fd, flags, false) }, func(e *entry) { e.PreparePollAdd(fd, flags) }},
			{func(s *uring.SQE) { s.PrepPollAdd(fd, flags, true) }, func(e *entry) { e.PreparePollMultishot(fd, flags) }},
		},
		"PrepCancel": {{func(s *uring.SQE) { s.PrepCancel(a.data, flags) },
			func(e *entry) { e.PrepareCancel64(a.data, int(flags)) }}},
		"PrepCancelFD": {{func(s *uring.SQE) { s.PrepCancelFD(fd, flags) },
			func(e *entry) { e.PrepareCancelFd(fd, flags) }}},
		"PrepMsgRing": {{func(s *uring.SQE) { s.PrepMsgRing(fd, a.data, n) },
			func(e *entry) { e.PrepareMsgRing(fd, n, a.data, 0) }}},
		"PrepShutdown": {{func(s *uring.SQE) { s.PrepShutdown(fd, int(n)) },
			func(e *entry) { e.PrepareShutdown(fd, int(n)) }}},
	}
}

// adapted change giouring's entry in what differences says is different, and in nothing else.
var adapted = map[string]func(*entry){
	"PrepNop": func(e *entry) { e.Fd = 0 },
}

func TestEntries(t *testing.T) {
	for _, a := range argumentSets {
		for method, all := range pairs(a) {
			for i, p := range all {
				t.Run(fmt.Sprintf("%s/%d/fd=%d", method, i, a.fd), func(t *testing.T) { compareEntries(t, method, p) })
			}
		}
	}
}

func compareEntries(t *testing.T, method string, p pair) {
	const userData = 0xf1f2f3f4f5f6f7f8
	ours := new(uring.SQE)
	p.ours(ours)
	ours.UserData = userData

	theirs := new(entry)
	*theirs = entry{} // its helpers leave OpcodeFlags, Addr3 and the end of the entry as they were
	p.theirs(theirs)
	theirs.SetData64(userData)

	if adapt, ok := adapted[method]; ok {
		if bytesOfOurs(ours) == bytesOfTheirs(theirs) {
			t.Error("listed as a difference, and there is none")
		}
		adapt(theirs)
	}
	if bytesOfOurs(ours) != bytesOfTheirs(theirs) {
		t.Errorf("\n    ours %+v\ngiouring %+v", *ours, *theirs)
	}
}

// TestPrepMethodsAreCompared fails if ours has a Prep method that TestEntries does not know.
func TestPrepMethodsAreCompared(t *testing.T) {
	methods := load(t).prepMethods()
	compared := pairs(arguments{})
	for _, name := range methods {
		isCompared, isAdapted, isListed := len(compared[name]) > 0, adapted[name] != nil, differences[name] != ""
		switch {
		case !isCompared && !isListed:
			t.Errorf("%s is not compared: add it to pairs, or why it cannot be to differences", name)
		case isCompared && isAdapted != isListed:
			t.Errorf("%s is compared, and has to be both in adapted and in differences, or in none", name)
		}
	}
	for name := range compared {
		if !slices.Contains(methods, name) {
			t.Errorf("%s is in pairs, and is no method of ours", name)
		}
	}
}

// wrongHelper is what a helper of giouring fills, and what the kernel expects, written with our constants. Only Addr is
// wrong in all of them.
type wrongHelper struct {
	fill func(*entry)
	want uring.SQE
}

func wrongHelpers() map[string]wrongHelper {
	const fd, flags = 5, unix.MSG_NOSIGNAL
	at := uint64(addressOf(unsafe.SliceData(payload)))
	timespec := new(syscall.Timespec)
	timespecAt := uint64(addressOf(timespec))
	address := syscall.Sockaddr(&syscall.SockaddrUnix{})
	return map[string]wrongHelper{
		"PrepareSendZC": {func(e *entry) { e.PrepareSendZC(fd, payload, flags, uint32(giouring.SendZCReportUsage)) },
			uring.SQE{Opcode: uring.OpSendZC, IoPrio: uring.SendZCReportUsage, Fd: fd, Addr: at, Len: uint32(len(payload)), OpFlags: flags}},
		"PrepareTimeout": {func(e *entry) { e.PrepareTimeout(timespec, 3, giouring.TimeoutAbs) },
			uring.SQE{Opcode: uring.OpTimeout, Fd: -1, Off: 3, Addr: timespecAt, Len: 1, OpFlags: giouring.TimeoutAbs}},
		"PrepareLinkTimeout": {func(e *entry) { e.PrepareLinkTimeout(time.Second, giouring.TimeoutAbs) },
			uring.SQE{Opcode: uring.OpLinkTimeout, Fd: -1, Addr: timespecAt, Len: 1, OpFlags: giouring.TimeoutAbs}},
		"PrepareConnect": {func(e *entry) { e.PrepareConnect(fd, &address, unix.SizeofSockaddrUnix) },
			uring.SQE{Opcode: uring.OpConnect, Fd: fd, Off: unix.SizeofSockaddrUnix, Addr: at}},
		"PrepareMsgRingFd": {func(e *entry) { e.PrepareMsgRingFd(fd, 6, 7, 8, 0) },
			uring.SQE{Opcode: uring.OpMsgRing, Fd: fd, Off: 8, Addr: uring.MsgSendFD, SpliceFdIn: 7 + 1, Addr3: 6}},
	}
}

// TestWrongHelpers shows that the differences of giouring's helpers are what they are said to be. Whoever adds a Prep
// method for one of these operations compares it with the entry here.
func TestWrongHelpers(t *testing.T) {
	for name, h := range wrongHelpers() {
		if differences["giouring."+name] == "" {
			t.Errorf("%s is not in differences", name)
		}
		e := new(entry)
		h.fill(e)
		if e.Addr == h.want.Addr {
			t.Errorf("%s fills the right address", name)
		}
		e.Addr = h.want.Addr
		if bytesOfTheirs(e) != bytesOfOurs(&h.want) {
			t.Errorf("%s:\n    want %+v\ngiouring %+v", name, h.want, *e)
		}
	}
}
