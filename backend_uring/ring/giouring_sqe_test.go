//go:build giouring && linux

package ring

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/pawelgaczynski/giouring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The memory that entries point to. Package variables are never moved.
var (
	payload  = []byte("some bytes to send")
	envelope = new(unix.Msghdr)
)

// arguments are those of a Prep method.
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

type theirSQE = giouring.SubmissionQueueEntry

// prepPair fills one entry with ours and one with giouring's. Where giouring's helper does less than ours, the rest is
// set with giouring's constants, as its user would.
type prepPair struct {
	ours   func(*SQE)
	theirs func(*theirSQE)
}

// prepPairs returns what to compare for every Prep method.
func prepPairs(a arguments) map[string][]prepPair {
	fd, flags, n := a.fd, a.flags, a.n
	return map[string][]prepPair{
		"PrepNop": {{(*SQE).PrepNop, (*theirSQE).PrepareNop}},
		"PrepAccept": {{func(s *SQE) { s.PrepAccept(fd, flags) },
			func(e *theirSQE) { e.PrepareAccept(fd, 0, 0, flags) }}},
		"PrepAcceptMultishot": {{func(s *SQE) { s.PrepAcceptMultishot(fd, flags) },
			func(e *theirSQE) { e.PrepareMultishotAccept(fd, 0, 0, int(flags)) }}},
		"PrepRecvSelect": {{func(s *SQE) { s.PrepRecvSelect(fd, a.group, n) },
			func(e *theirSQE) { e.PrepareRecv(fd, 0, n, 0); e.Flags |= giouring.SqeBufferSelect; e.BufIG = a.group }}},
		"PrepReadSelect": {{func(s *SQE) { s.PrepReadSelect(fd, a.group, n) },
			func(e *theirSQE) { e.PrepareRead(fd, 0, n, 0); e.Flags |= giouring.SqeBufferSelect; e.BufIG = a.group }}},
		"PrepRecvMultishot": {{func(s *SQE) { s.PrepRecvMultishot(fd, a.group) },
			func(e *theirSQE) {
				e.PrepareRecvMultishot(fd, 0, 0, 0)
				e.Flags |= giouring.SqeBufferSelect
				e.BufIG = a.group
			}}},
		"PrepSend": {{func(s *SQE) { s.PrepSend(fd, a.bytes, flags) },
			func(e *theirSQE) {
				e.PrepareSend(fd, addressOf(a.bytes), uint32(len(a.bytes)), int(flags))
			}}},
		"PrepSendMsg": {{func(s *SQE) { s.PrepSendMsg(fd, envelope, flags) },
			func(e *theirSQE) { e.PrepareSendMsg(fd, theirMsghdr(envelope), flags) }}},
		"PrepPollAdd": {
			{func(s *SQE) { s.PrepPollAdd(fd, flags, false) }, func(e *theirSQE) { e.PreparePollAdd(fd, flags) }},
			{func(s *SQE) { s.PrepPollAdd(fd, flags, true) }, func(e *theirSQE) { e.PreparePollMultishot(fd, flags) }},
		},
		"PrepCancel": {{func(s *SQE) { s.PrepCancel(a.data, flags) },
			func(e *theirSQE) { e.PrepareCancel64(a.data, int(flags)) }}},
		"PrepCancelFD": {{func(s *SQE) { s.PrepCancelFD(fd, flags) },
			func(e *theirSQE) { e.PrepareCancelFd(fd, flags) }}},
		"PrepMsgRing": {{func(s *SQE) { s.PrepMsgRing(fd, a.data, n) },
			func(e *theirSQE) { e.PrepareMsgRing(fd, n, a.data, 0) }}},
		"PrepShutdown": {{func(s *SQE) { s.PrepShutdown(fd, int(n)) },
			func(e *theirSQE) { e.PrepareShutdown(fd, int(n)) }}},
	}
}

// adapted makes giouring's entry like ours where differences lists a difference, and nowhere else.
var adapted = map[string]func(*theirSQE){
	"PrepNop": func(e *theirSQE) { e.Fd = 0 },
}

func TestEntriesOfGiouring(t *testing.T) {
	for _, a := range argumentSets {
		for method, all := range prepPairs(a) {
			for i, p := range all {
				t.Run(fmt.Sprintf("%s/%d/fd=%d", method, i, a.fd), func(t *testing.T) { compareEntries(t, method, p) })
			}
		}
	}
}

func compareEntries(t *testing.T, method string, p prepPair) {
	const userData = 0xf1f2f3f4f5f6f7f8
	ours := new(SQE)
	p.ours(ours)
	ours.UserData = userData

	theirs := new(theirSQE)
	*theirs = theirSQE{} // its helpers leave OpcodeFlags, Addr3 and the end of the entry as they were
	p.theirs(theirs)
	theirs.SetData64(userData)

	if adapt, ok := adapted[method]; ok {
		assert.NotEqual(t, bytesOfTheirs(theirs), bytesOfOurs(ours), "listed as a difference, and there is none")
		adapt(theirs)
	}
	assert.Equal(t, bytesOfTheirs(theirs), bytesOfOurs(ours), "\n    ours %+v\ngiouring %+v", *ours, *theirs)
}

// Every Prep method is compared, or listed with the reason why it is not.
func TestPrepMethodsAreCompared(t *testing.T) {
	methods := loadPackages(t).prepMethods()
	require.NotEmpty(t, methods)
	compared := prepPairs(arguments{})
	for _, name := range methods {
		isCompared, isAdapted, isListed := len(compared[name]) > 0, adapted[name] != nil, differences[name] != ""
		assert.True(t, isCompared || isListed, "%s is not compared: add it to prepPairs, or why it cannot be to differences", name)
		if isCompared {
			assert.Equal(t, isListed, isAdapted, "%s is compared, and has to be both in adapted and in differences, or in neither", name)
		}
	}
	for name := range compared {
		assert.Contains(t, methods, name, "it is in prepPairs, and is no method of ours")
	}
}

// wrongHelper is a helper of giouring that fills a wrong Addr, with the entry that the kernel expects.
type wrongHelper struct {
	fill func(*theirSQE)
	want SQE
}

func wrongHelpers() map[string]wrongHelper {
	const fd, flags = 5, unix.MSG_NOSIGNAL
	at := uint64(addressOf(payload))
	timespec := new(syscall.Timespec)
	timespecAt := uint64(addressOfValue(timespec))
	address := syscall.Sockaddr(&syscall.SockaddrUnix{})
	return map[string]wrongHelper{
		"PrepareSendZC": {func(e *theirSQE) { e.PrepareSendZC(fd, payload, flags, uint32(giouring.SendZCReportUsage)) },
			SQE{Opcode: OpSendZC, IoPrio: SendZCReportUsage, Fd: fd, Addr: at, Len: uint32(len(payload)), OpFlags: flags}},
		"PrepareTimeout": {func(e *theirSQE) { e.PrepareTimeout(timespec, 3, giouring.TimeoutAbs) },
			SQE{Opcode: OpTimeout, Fd: -1, Off: 3, Addr: timespecAt, Len: 1, OpFlags: giouring.TimeoutAbs}},
		"PrepareLinkTimeout": {func(e *theirSQE) { e.PrepareLinkTimeout(time.Second, giouring.TimeoutAbs) },
			SQE{Opcode: OpLinkTimeout, Fd: -1, Addr: timespecAt, Len: 1, OpFlags: giouring.TimeoutAbs}},
		"PrepareConnect": {func(e *theirSQE) { e.PrepareConnect(fd, &address, unix.SizeofSockaddrUnix) },
			SQE{Opcode: OpConnect, Fd: fd, Off: unix.SizeofSockaddrUnix, Addr: at}},
		"PrepareMsgRingFd": {func(e *theirSQE) { e.PrepareMsgRingFd(fd, 6, 7, 8, 0) },
			SQE{Opcode: OpMsgRing, Fd: fd, Off: 8, Addr: MsgSendFD, SpliceFdIn: 7 + 1, Addr3: 6}},
	}
}

// The helpers of giouring that are listed as wrong are wrong in Addr, and in nothing else. A Prep method that is added
// for one of these operations is compared with the entry here.
func TestWrongHelpersOfGiouring(t *testing.T) {
	for name, h := range wrongHelpers() {
		assert.Contains(t, differences, "giouring."+name)
		e := new(theirSQE)
		h.fill(e)
		assert.NotEqual(t, h.want.Addr, e.Addr, "%s fills the right address", name)
		e.Addr = h.want.Addr
		assert.Equal(t, bytesOfOurs(&h.want), bytesOfTheirs(e), "%s:\n    want %+v\ngiouring %+v", name, h.want, *e)
	}
}
