// Package ringtest emulates io_uring(7) for tests: a ring.Kernel that carries out submissions with plain system calls on
// real sockets, and that is late, short, out of order or out of memory whenever a seed says so.
//
//	package uring, the driver                 under test, unchanged
//	package ring       SQ, CQ, buffer rings   unchanged, in memory that both sides map
//	   │ Setup, Enter, Register, Close           ▲ completions
//	   ▼                                         │
//	Kernel ── submissions ─► requests in flight ─┤ ◄── Habits, and dice with a seed
//	                          │ recv, send, accept4, poll
//	                          ▼
//	                       sockets ── epoll(7) ──► what became ready
//
// A waiting Enter sleeps in an epoll set of all descriptors with requests in flight, and of an eventfd for messages. Nothing
// happens between two calls, as on a ring with deferred task work. So every ring shows SQTaskrun all the time; a kernel
// shows it with SetupTaskrunFlag only, and completes by itself where there is no deferred task work.
//
// The operations are those that the driver uses: NOP, RECV with buffer selection (once, multishot, and bounded), SEND,
// SENDMSG, ACCEPT and POLL_ADD (once and multishot), ASYNC_CANCEL by user_data or of everything, READ with buffer selection
// of regular files, and messages without a ring.
//
// # What it does wrong
//
// [Habits] say what it does and how often. Kernels do each of these; the functions are Linux 6.x's.
//
//	ShortReceive     recv(2) promises no more; a kernel's copy stops at a fault, or at what came so far
//	ShortSend        send(2) takes what has room; io_send in io_uring/net.c does not wait for the rest without MSG_WAITALL
//	SendAgain        a wait for room that ends without room, time after time: every poll has POLLERR and POLLRDHUP in its
//	                 mask, and after some retries the request fails; io_arm_poll_handler in io_uring/poll.c. Room may
//	                 come right after. Without this habit it happens behind a half-closed peer only
//	SendInterrupt    a worker gets a signal: ERESTARTSYS becomes EINTR; io_send in io_uring/net.c
//	NoBuffers        the group was empty when the receive began; others had the buffers for a moment, as a request on a
//	                 worker has. A receive needs a buffer even if there is nothing to receive; io_recv
//	LateWork         task work waits for an enter that asks for completions, and one call does not do all of it:
//	                 IO_LOCAL_TW_DEFAULT_MAX in io_uring/io_uring.h
//	LateCompletion   a worker has done the work, and its completion is task work again; io_req_task_complete
//	Requeue          a multishot receive that goes on and on is put behind others; MULTISHOT_MAX_RETRY in io_uring/net.c
//	Shuffle          requests complete in any order; io_uring(7). Those of one request stay in order
//	CancelMissed     a request that is being moved from one list to another is not found: ENOENT. A poll is never moved
//	CancelLate       it runs on a worker: EALREADY, and the worker gets a signal; io_wq_cancel_cb in io_uring/io-wq.c
//	CancelBehind     a cancelled request may complete before or behind the cancellation; io_uring_prep_cancel(3)
//	Part             memory for requests runs out behind the first of them; io_submit_sqes in io_uring/io_uring.c
//	NoRoom           it runs out before: EAGAIN; io_uring_enter(2)
//	Busy             completions have overflowed, and no submission is taken: EBUSY. Up to Linux 5.12, and
//	                 io_uring_enter(2) still says so
//	Early            a signal, such as those of Go's scheduler: EINTR; io_uring_enter(2)
//	AcceptFails      ENOMEM, EMFILE, ENFILE: each ends also a multishot accept; io_accept in io_uring/net.c
//	PollFails        ENOMEM for the second wait queue of a file; io_poll_double_prepare in io_uring/poll.c
//	RefuseMessage    EPERM by a seccomp filter that came later; ENOMEM; io_msg_remote_post in io_uring/msg_ring.c
//	RefuseRingFD     the thread has 16 registered rings: EBUSY; io_ring_add_registered_fd in io_uring/tctx.c
//
// These it does in any case, as any kernel does:
//
//   - Completions for which the queue has no room overflow: they are shown by SQCQOverflow, and posted, in order, when
//     there is room. A multishot request that cannot post ends with that completion, without F_MORE: io_req_post_cqe in
//     io_uring/io_uring.c. So tiny queues make polls, receives and accepts end all the time.
//   - A multishot receive stops when nothing seems to be left, and so overlooks an end that came together with bytes:
//     io_recv_finish in io_uring/net.c.
//   - A request that was cancelled, or that has failed, may have completions that come when its socket is gone and its
//     number another's.
//   - A submission that is invalid ends the call without SetupSubmitAll, and completions are not posted then.
//   - A ring with SetupSingleIssuer answers EEXIST to other threads than its own.
//
// # What it notices
//
// [Kernel.Faults] are mistakes that a real kernel would not notice, or only by chance:
//
//   - a descriptor that is closed while requests on it are in flight,
//   - a buffer that is lent while the kernel has it, or more buffers than the ring has entries,
//   - bytes that are changed while a send of them waits.
//
// A buffer is overwritten as soon as it is lent, so that whoever still reads it reads garbage.
//
// # Seeds
//
// The nth decision of one kind on the nth ring is the same whenever the seed is. When occasions for decisions arise still
// depends on real sockets and on the scheduler, so a seed makes a failure likely to come again, and not certain.
// [Wild] makes Habits out of a seed: some few, some many, so that rare pairs of them meet.
package ringtest
