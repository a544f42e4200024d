package ring

import "fmt"

// Waker posts one and the same completion to a ring, as often as it is asked to, and needs no ring of its own. Any
// goroutine may call Wake, and several may at once. Since Linux 6.13; io_uring_register_sync_msg(3).
type Waker struct {
	kernel Kernel // nil: the machine's
	sqe    SQE    // read-only once made
}

// NewWaker makes a Waker for the ring whose descriptor is fd. The completion has that user data and result.
func NewWaker(fd int, userData uint64, res uint32) *Waker {
	return NewWakerOn(nil, fd, userData, res)
}

// NewWakerOn is NewWaker for a ring of NewOn.
func NewWakerOn(k Kernel, fd int, userData uint64, res uint32) *Waker {
	w := &Waker{kernel: k}
	w.sqe.PrepMsgRing(fd, userData, res)
	return w
}

// Wake posts the completion, which ends a Wait of the ring. It does not sleep. The error wraps EINVAL or EBADF on a
// kernel before 6.13, and EBADFD if the ring is not enabled. Wake must not be called once the ring is closed: it names
// the ring by its descriptor, and the number may be another ring's by then.
func (w *Waker) Wake() error {
	if errno := sendMsgRing(w.kernel, &w.sqe); errno != 0 {
		return fmt.Errorf("uring: send message to ring: %w", errno)
	}
	return nil
}
