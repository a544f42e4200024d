package ring

import "fmt"

// MsgSender posts one and the same completion to a ring, as often as it is told to, without a ring of its own. Any
// goroutine may call Send, also several at once. Since Linux 6.13; io_uring_register_sync_msg(3).
type MsgSender struct {
	sqe SQE // only read, once made
}

// NewMsgSender makes a sender of a completion with that user data and result to the ring whose descriptor is fd.
func NewMsgSender(fd int, userData uint64, res uint32) *MsgSender {
	m := new(MsgSender)
	m.sqe.PrepMsgRing(fd, userData, res)
	return m
}

// Send posts the completion, which ends a Wait of the ring. It does not sleep. The error wraps EINVAL or EBADF on a
// kernel before 6.13, and EBADFD if the ring is not enabled. It names the ring by its descriptor: nobody may call Send
// once the ring is closed, since the number may be another ring's by then.
func (m *MsgSender) Send() error {
	if errno := sendMsgRing(&m.sqe); errno != 0 {
		return fmt.Errorf("uring: send message to ring: %w", errno)
	}
	return nil
}
