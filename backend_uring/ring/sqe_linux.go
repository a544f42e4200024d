package ring

import "golang.org/x/sys/unix"

// The Prep methods fill a zeroed entry, as [Ring.SQE] returns it. The caller sets UserData afterwards.

// PrepNop completes with 0.
func (s *SQE) PrepNop() { s.Opcode = OpNop }

// PrepAccept accepts one connection; the completion's result is its descriptor. The flags are those of accept4(2). It
// does not ask for the peer's address, which the next connection of a multishot accept could overwrite.
func (s *SQE) PrepAccept(fd int, flags uint32) {
	s.Opcode = OpAccept
	s.Fd = int32(fd)
	s.OpFlags = flags
}

// PrepAcceptMultishot accepts until it fails or is cancelled. Any error ends it, even EMFILE.
// Since Linux 5.19; io_uring_prep_multishot_accept(3).
func (s *SQE) PrepAcceptMultishot(fd int, flags uint32) {
	s.PrepAccept(fd, flags)
	s.IoPrio = AcceptMultishot
}

// PrepRecvSelect receives once, at most n bytes, into a buffer of the group; 0 means the length of the buffer.
// Since Linux 5.19 with a [BufRing]; io_uring_prep_recv(3).
func (s *SQE) PrepRecvSelect(fd int, group uint16, n uint32) {
	s.Opcode = OpRecv
	s.selectBuffer(fd, group, n)
}

// selectBuffer makes an operation on fd fill at most n bytes of a buffer of the group.
func (s *SQE) selectBuffer(fd int, group uint16, n uint32) {
	s.Flags = SQEBufferSelect
	s.Fd = int32(fd)
	s.Len = n
	s.BufIndex = group
}

// PrepRecvMultishot receives into buffers of the group until the end of the stream, an error, or a cancel. If the group
// is empty it ends at once with ENOBUFS and without loss: the bytes stay in the socket. Since Linux 6.0;
// io_uring_prep_recv_multishot(3).
func (s *SQE) PrepRecvMultishot(fd int, group uint16) {
	s.PrepRecvSelect(fd, group, 0)
	s.IoPrio = RecvMultishot
}

// LimitMultishot bounds a multishot receive: each completion has at most piece bytes, and the one that brings the
// request to total bytes is its last. 0 means no bound. Older kernels complete such a request with EINVAL. Since Linux
// 6.17; io_recvmsg_prep in io_uring/net.c, where total is sqe->optlen.
func (s *SQE) LimitMultishot(piece, total uint32) {
	s.Len = piece
	s.SpliceFdIn = int32(total)
}

// PrepReadSelect reads at most n bytes from the beginning of a file into a buffer of the group.
// Since Linux 5.19 with a [BufRing]; io_uring_prep_read(3).
func (s *SQE) PrepReadSelect(fd int, group uint16, n uint32) {
	s.Opcode = OpRead
	s.selectBuffer(fd, group, n)
}

// PrepSend sends p, with the flags of send(2). The result may be short. The kernel reads p until the completion: the
// caller keeps it, mapped or heap memory, alive and unchanged until then.
func (s *SQE) PrepSend(fd int, p []byte, msgFlags uint32) {
	s.Opcode = OpSend
	s.Fd = int32(fd)
	s.setBytes(p)
	s.OpFlags = msgFlags
}

// PrepSendMsg sends what msg describes, with the flags of sendmsg(2). The result may be short. The caller keeps msg
// and everything it points to, all of it mapped or heap memory, alive and unchanged until the completion.
func (s *SQE) PrepSendMsg(fd int, msg *unix.Msghdr, msgFlags uint32) {
	s.Opcode = OpSendMsg
	s.Fd = int32(fd)
	s.setMessage(msg)
	s.Len = 1
	s.OpFlags = msgFlags
}

// PrepPollAdd waits for one of the events in mask, which are those of epoll_ctl(2); the result is the mask of those
// that have occurred. With multishot it continues until it is cancelled or fails, and is edge-triggered with and
// without EPOLLET. Since Linux 5.13 for multishot; io_uring_prep_poll_multishot(3).
func (s *SQE) PrepPollAdd(fd int, mask uint32, multishot bool) {
	s.Opcode = OpPollAdd
	s.Fd = int32(fd)
	s.OpFlags = mask // poll32_events: the halves would be swapped on big-endian machines, which New refuses
	if multishot {
		s.Len = PollAddMulti
	}
}

// PrepCancel cancels the request with that user data; with CancelAll or CancelAny, every request that matches. The
// result is 0, or with those flags their number, or -ENOENT, or -EALREADY if it is too late. A cancelled request has a
// completion of its own, before or after this one. io_uring_prep_cancel(3).
func (s *SQE) PrepCancel(userData uint64, flags uint32) {
	s.Opcode = OpAsyncCancel
	s.Fd = -1
	s.Addr = userData
	s.OpFlags = flags
}

// PrepCancelFD cancels a request on the descriptor, or with CancelAll all of them. The descriptor has to be open: after
// close(2) the result is -EBADF. Since Linux 5.19; io_uring_prep_cancel(3).
func (s *SQE) PrepCancelFD(fd int, flags uint32) {
	s.Opcode = OpAsyncCancel
	s.Fd = int32(fd)
	s.OpFlags = flags | CancelFD
}

// PrepMsgRing posts a completion with that user data and result to the ring whose descriptor is fd.
// Since Linux 5.18; io_uring_prep_msg_ring(3).
func (s *SQE) PrepMsgRing(fd int, userData uint64, res uint32) {
	s.Opcode = OpMsgRing
	s.Fd = int32(fd)
	s.Off = userData
	s.Addr = MsgData
	s.Len = res
}

// PrepShutdown is shutdown(2).
func (s *SQE) PrepShutdown(fd, how int) {
	s.Opcode = OpShutdown
	s.Fd = int32(fd)
	s.Len = uint32(how)
}
