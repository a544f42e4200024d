package ring

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// RegisterEventFD names the eventfd that the kernel signals when Look would find something, between Signals(true) and
// Signals(false). Until then it signals nothing. The ring must be one with SetupDeferTaskrun and SetupTaskrunFlag.
// Since Linux 5.8; io_uring_register_eventfd(3).
//
// The kernel signals it once for each time that work arrives where there was none (io_req_local_work_add in
// io_uring/io_uring.c), so work that arrived before Signals(true) is never told of: Look has to come after it.
//
// If what completes a request is itself the signal of an eventfd, the kernel puts the signal off for some milliseconds
// (io_eventfd_signal in io_uring/eventfd.c).
func (r *Ring) RegisterEventFD(fd int) error {
	r.Signals(false)
	n := int32(fd)
	if err := r.Register(RegisterEventFD, unsafe.Pointer(&n), 1); err != nil {
		return fmt.Errorf("uring: register eventfd: %w", err)
	}
	return nil
}

// Signals switches the signals of the registered eventfd on or off.
func (r *Ring) Signals(on bool) {
	if on {
		atomic.StoreUint32(r.cqFlags, 0)
	} else {
		atomic.StoreUint32(r.cqFlags, CQEventFDDisabled)
	}
}

// Look is Enter that always calls the kernel, until no work is left there that has arrived before: one call carries out
// 20 pieces of it, and not each becomes a completion. It never sleeps. It reports whether there are completions.
func (r *Ring) Look() (bool, error) {
	for {
		n := r.publish()
		taken, errno := r.enterNow(n, EnterGetEvents)
		err := r.finishEnter(n, taken, errno)
		found := r.Ready() > 0 || r.Overflowed()
		if found || err != nil || atomic.LoadUint32(r.sqFlags)&SQTaskrun == 0 {
			return found, err
		}
	}
}
