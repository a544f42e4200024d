package backend

import "sync/atomic"

// Counter names one thing that a loop counts.
type Counter int

// What a loop counts. All are totals since the loop began.
const (
	Opened             Counter = iota // streams whose OnOpen ran
	Closed                            // streams whose OnClose ran after an OnOpen
	Accepts                           // connections accepted
	AcceptErrors                      // accepts that failed
	BytesIn                           // bytes received from the kernel
	BytesDelivered                    // bytes that the user consumed
	BytesDropped                      // bytes received and dropped because their stream ended first
	BytesCopied                       // bytes received and copied, because they were left unread or taken in small pieces
	BytesOut                          // bytes the kernel took
	Reads                             // receives that brought bytes
	Writes                            // sends that the kernel took bytes of
	DirectWrites                      // of these, those made on a caller's goroutine
	Turns                             // loop turns
	Polls                             // looks and sleeps: epoll_pwait or io_uring_enter
	Sleeps                            // polls that were allowed to sleep
	SystemCalls                       // system calls made for sockets, polls included
	Submissions                       // io_uring: SQEs handed to the kernel
	Completions                       // io_uring: CQEs reaped
	NoBuffers                         // io_uring: receives that ended with ENOBUFS
	Overflows                         // io_uring: times that the completion queue overflowed
	WakeUps                           // times another goroutine ended the loop's sleep
	TimersFired                       // timers that ran
	Panics                            // panics caught in callbacks
	SlowCallbacks                     // callbacks that were found to take long
	TLSOverhead                       // bytes received that were no user's: handshakes, and what encryption adds
	TLSHandshakes                     // handshakes that were done
	TLSHandshakeErrors                // handshakes that failed
	numCounters
)

// Counters holds one count for every Counter. The loop's goroutine owns it.
type Counters [numCounters]uint64

// sharedCounters is what other goroutines see.
type sharedCounters [numCounters]atomic.Uint64

// publish moves what was counted since the last time to where others see it: at most one atomic operation for each
// kind of event and turn, none for each event.
func (s *sharedCounters) publish(cs *Counters) {
	for i, n := range cs {
		if n != 0 {
			s[i].Add(n)
			cs[i] = 0
		}
	}
}
