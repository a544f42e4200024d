package ring

import "structs"

// The constants and structures below are those of include/uapi/linux/io_uring.h. A constant has the kernel's name
// without the IORING_ prefix. A version is given if it is newer than 5.11, the oldest that this package works on.

// Flags of io_uring_setup(2), for [New]; io_uring_setup_flags(7).
const (
	SetupIOPoll           = 1 << 0
	SetupSQPoll           = 1 << 1
	SetupSQAff            = 1 << 2
	SetupCQSize           = 1 << 3
	SetupClamp            = 1 << 4 // sizes above the limit are lowered, not refused
	SetupAttachWQ         = 1 << 5
	SetupRDisabled        = 1 << 6  // nothing is accepted before Enable
	SetupSubmitAll        = 1 << 7  // Since Linux 5.18: a bad entry does not end the batch
	SetupCoopTaskrun      = 1 << 8  // Since Linux 5.19
	SetupTaskrunFlag      = 1 << 9  // Since Linux 5.19: pending task work shows in the SQ flags
	SetupSQE128           = 1 << 10 // Since Linux 5.19
	SetupCQE32            = 1 << 11 // Since Linux 5.19
	SetupSingleIssuer     = 1 << 12 // Since Linux 6.0
	SetupDeferTaskrun     = 1 << 13 // Since Linux 6.1; needs SetupSingleIssuer
	SetupNoMmap           = 1 << 14 // Since Linux 6.5
	SetupRegisteredFDOnly = 1 << 15 // Since Linux 6.5
	SetupNoSQArray        = 1 << 16 // Since Linux 6.6
	SetupHybridIOPoll     = 1 << 17 // Since Linux 6.13
	SetupCQEMixed         = 1 << 18 // Since Linux 6.18
)

// Features that io_uring_setup(2) reports, for [Ring.Features].
const (
	FeatSingleMmap     = 1 << 0
	FeatNoDrop         = 1 << 1
	FeatSubmitStable   = 1 << 2
	FeatRWCurPos       = 1 << 3
	FeatCurPersonality = 1 << 4
	FeatFastPoll       = 1 << 5
	FeatPoll32Bits     = 1 << 6
	FeatSQPollNonFixed = 1 << 7
	FeatExtArg         = 1 << 8
	FeatNativeWorkers  = 1 << 9  // Since Linux 5.12
	FeatRsrcTags       = 1 << 10 // Since Linux 5.13
	FeatCQESkip        = 1 << 11 // Since Linux 5.17
	FeatLinkedFile     = 1 << 12 // Since Linux 5.17
	FeatRegRegRing     = 1 << 13 // Since Linux 6.3
	FeatRecvSendBundle = 1 << 14 // Since Linux 6.10
	FeatMinTimeout     = 1 << 15 // Since Linux 6.12
	FeatRWAttr         = 1 << 16 // Since Linux 6.14
	FeatNoIOWait       = 1 << 17 // Since Linux 6.15
)

// Flags of io_uring_enter(2).
const (
	EnterGetEvents      = 1 << 0
	EnterSQWakeup       = 1 << 1
	EnterSQWait         = 1 << 2
	EnterExtArg         = 1 << 3
	EnterRegisteredRing = 1 << 4 // Since Linux 5.18
	EnterAbsTimer       = 1 << 5 // Since Linux 6.12
	EnterExtArgReg      = 1 << 6 // Since Linux 6.13
	EnterNoIOWait       = 1 << 7 // Since Linux 6.15
)

// Operations, for [SQE.Opcode].
const (
	OpNop         = 0
	OpPollAdd     = 6
	OpPollRemove  = 7
	OpSendMsg     = 9
	OpRecvMsg     = 10
	OpTimeout     = 11
	OpAccept      = 13
	OpAsyncCancel = 14
	OpLinkTimeout = 15
	OpConnect     = 16
	OpClose       = 19
	OpRead        = 22
	OpWrite       = 23
	OpSend        = 26
	OpRecv        = 27
	OpShutdown    = 34
	OpMsgRing     = 40 // Since Linux 5.18
	OpSocket      = 45 // Since Linux 5.19
	OpSendZC      = 47 // Since Linux 6.0
	OpSendMsgZC   = 48 // Since Linux 6.1
)

// Flags of any entry, for [SQE.Flags].
const (
	SQEFixedFile      = 1 << 0
	SQEIODrain        = 1 << 1
	SQEIOLink         = 1 << 2
	SQEIOHardLink     = 1 << 3
	SQEAsync          = 1 << 4
	SQEBufferSelect   = 1 << 5
	SQECQESkipSuccess = 1 << 6 // Since Linux 5.17
)

// Flags of one kind of operation, for [SQE.IoPrio].
const (
	RecvSendPollFirst = 1 << 0 // Since Linux 5.19: do not try before polling
	RecvMultishot     = 1 << 1 // Since Linux 6.0
	RecvSendFixedBuf  = 1 << 2 // Since Linux 6.0
	SendZCReportUsage = 1 << 3 // Since Linux 6.2
	RecvSendBundle    = 1 << 4 // Since Linux 6.10
	SendVectorized    = 1 << 5 // Seen on Linux 6.18: Addr and Len are an array of iovecs

	AcceptMultishot = 1 << 0 // Since Linux 5.19
	AcceptDontWait  = 1 << 1 // Since Linux 6.10
	AcceptPollFirst = 1 << 2 // Since Linux 6.10
)

// Flags of a cancel, for [SQE.PrepCancel]; io_uring_prep_cancel(3).
const (
	CancelAll      = 1 << 0 // Since Linux 5.19: all that match, not the first; the result is their number
	CancelFD       = 1 << 1 // Since Linux 5.19: match the descriptor
	CancelAny      = 1 << 2 // Since Linux 5.19: everything matches
	CancelFDFixed  = 1 << 3 // Since Linux 6.0
	CancelUserData = 1 << 4 // Since Linux 6.6
	CancelOp       = 1 << 5 // Since Linux 6.6
)

// Flags of a poll, for [SQE.Len] of OpPollAdd and OpPollRemove.
const (
	PollAddMulti       = 1 << 0 // Since Linux 5.13
	PollUpdateEvents   = 1 << 1 // Since Linux 5.13
	PollUpdateUserData = 1 << 2 // Since Linux 5.13
	PollAddLevel       = 1 << 3 // Since Linux 6.0
)

// Commands of OpMsgRing, for [SQE.Addr].
const (
	MsgData   = 0
	MsgSendFD = 1 // Since Linux 6.0
)

// Flags of a completion, for [CQE.Flags].
const (
	CQEFBuffer       = 1 << 0  // the upper 16 bits are the buffer's id
	CQEFMore         = 1 << 1  // more completions of this request follow
	CQEFSockNonEmpty = 1 << 2  // Since Linux 5.19: the socket holds more, a hint
	CQEFNotif        = 1 << 3  // Since Linux 6.0: the second completion of a zero-copy send
	CQEFBufMore      = 1 << 4  // Since Linux 6.12: the buffer is not used up
	CQEFSkip         = 1 << 5  // Since Linux 6.18
	CQEF32           = 1 << 15 // Since Linux 6.18

	CQEBufferShift = 16
)

// Flags that the kernel shows in the submission ring.
const (
	SQNeedWakeup = 1 << 0
	SQCQOverflow = 1 << 1 // completions wait in the kernel for room in the queue
	SQTaskrun    = 1 << 2 // Since Linux 5.19: an enter would post completions
)

// CQEventFDDisabled is a bit of the flags of the completion queue, which this process writes and the kernel reads: the
// registered eventfd is not signalled. Since Linux 5.8; io_uring_register(2).
const CQEventFDDisabled = 1 << 0

// Operations of io_uring_register(2), for [Ring.Register].
const (
	RegisterEventFD     = 4
	UnregisterEventFD   = 5
	RegisterProbe       = 8
	RegisterEnableRings = 12
	RegisterRingFDs     = 20 // Since Linux 5.18
	UnregisterRingFDs   = 21 // Since Linux 5.18
	RegisterPBufRing    = 22 // Since Linux 5.19
	UnregisterPBufRing  = 23 // Since Linux 5.19
	RegisterSyncCancel  = 24 // Since Linux 6.0
	RegisterPBufStatus  = 26 // Since Linux 6.8
	RegisterNAPI        = 27 // Since Linux 6.9
	UnregisterNAPI      = 28 // Since Linux 6.9
	RegisterSendMsgRing = 31 // Since Linux 6.13
	RegisterQuery       = 35 // Seen on Linux 6.18
)

// Flags of a buffer ring.
const (
	PBufRingMmap = 1 << 0 // Since Linux 6.4
	PBufRingInc  = 1 << 1 // Since Linux 6.12
)

// Offsets of the parts of a ring for mmap(2).
const (
	offSQRing = 0
	offCQRing = 0x8000000
	offSQEs   = 0x10000000
)

// SQE is an entry of the submission queue, struct io_uring_sqe. The Prep methods fill it.
type SQE struct {
	_           structs.HostLayout
	Opcode      uint8
	Flags       uint8
	IoPrio      uint16 // flags of the operation
	Fd          int32
	Off         uint64 // also addr2
	Addr        uint64
	Len         uint32
	OpFlags     uint32 // msg_flags, accept_flags, poll32_events, cancel_flags and so on
	UserData    uint64 // comes back in the completion
	BufIndex    uint16 // also the buffer group
	Personality uint16
	SpliceFdIn  int32 // also addr_len, optlen and file_index
	Addr3       uint64
	_pad        uint64
}

// CQE is an entry of the completion queue, struct io_uring_cqe.
type CQE struct {
	_        structs.HostLayout
	UserData uint64
	Res      int32 // a result, or an errno below zero
	Flags    uint32
}

// More reports whether another completion of the request will come.
func (c *CQE) More() bool { return c.Flags&CQEFMore != 0 }

// Buffer returns the id of the buffer that the kernel took from a buffer ring for this completion, if it took one.
func (c *CQE) Buffer() (bid uint16, ok bool) {
	return uint16(c.Flags >> CQEBufferShift), c.Flags&CQEFBuffer != 0
}

// KernelTimespec is struct __kernel_timespec: 64 bits for both, on every architecture.
type KernelTimespec struct {
	_    structs.HostLayout
	Sec  int64
	Nsec int64
}

// Params is struct io_uring_params.
type Params struct {
	_            structs.HostLayout
	SQEntries    uint32
	CQEntries    uint32
	Flags        uint32
	SQThreadCPU  uint32
	SQThreadIdle uint32
	Features     uint32
	WQFD         uint32
	Resv         [3]uint32
	SQOff        SQOffsets
	CQOff        CQOffsets
}

// SQOffsets is struct io_sqring_offsets.
type SQOffsets struct {
	_           structs.HostLayout
	Head        uint32
	Tail        uint32
	RingMask    uint32
	RingEntries uint32
	Flags       uint32
	Dropped     uint32
	Array       uint32
	Resv1       uint32
	UserAddr    uint64
}

// CQOffsets is struct io_cqring_offsets.
type CQOffsets struct {
	_           structs.HostLayout
	Head        uint32
	Tail        uint32
	RingMask    uint32
	RingEntries uint32
	Overflow    uint32
	CQEs        uint32
	Flags       uint32
	Resv1       uint32
	UserAddr    uint64
}

// getEventsArg is struct io_uring_getevents_arg. Since Linux 5.11.
type getEventsArg struct {
	_           structs.HostLayout
	sigmask     uint64
	sigmaskSize uint32
	minWaitUsec uint32
	ts          uint64 // address of a KernelTimespec
}

// RsrcUpdate is struct io_uring_rsrc_update, of RegisterRingFDs.
type RsrcUpdate struct {
	_      structs.HostLayout
	Offset uint32
	Resv   uint32
	Data   uint64
}

// BufReg is struct io_uring_buf_reg, of RegisterPBufRing.
type BufReg struct {
	_           structs.HostLayout
	RingAddr    uint64
	RingEntries uint32
	BGID        uint16
	Flags       uint16
	MinLeft     uint32
	Resv        [5]uint32
}

// Buf is struct io_uring_buf, an entry of a buffer ring. In the first entry resv is the tail of the ring.
type Buf struct {
	_    structs.HostLayout
	Addr uint64
	Len  uint32
	BID  uint16
	Resv uint16
}
