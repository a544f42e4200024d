// Package difftest compares backends with package net: the same program, a sequence of operations on streams and their
// peers, runs on each and must do the same.
//
//	bytes ─ Decode ─► Program ─ plan ─► steps ─┬─► net.Conn ─► what had to happen
//	                                           ├─► epoll    ─► what happened ─┐
//	                                           └─► io_uring ─► what happened ─┴─► Mismatch, or none
//
// A step is what one callback does, or one of the peer's operations. After each of them the program waits until
// everything has happened that has happened on the net.Conn: it never sleeps, so a program does the same each time. What
// is compared, for each stream: the callbacks and their order, with the bytes that were delivered between them; what
// operations return; functions given to timers, Post and WriteNotify; the bytes that the peer got, and how its reading
// ended. Piece boundaries mean nothing, and errors are compared by their class, with errors.Is.
//
// # What is left out
//
// Two kernels, or two runs on one, may decide a race differently, and the contract allows both. Function plan knows how
// far a stream has come, but not what it does then. It leaves out what has no outcome of its own, or changes its size,
// and it says in type loose where an outcome has several forms. All of these are such:
//
//   - How much a kernel takes while the peer reads nothing: writes then fit in any socket buffer, or are so large that
//     they fit in none.
//   - How much of a batch of writes is queued while the kernel takes it: what depends on the queue's length is left open,
//     which is OnWritable, and ErrWriteBufferFull.
//   - What was handed over before a pause, or above ReadBufferLimit: reads ask for what is there for sure.
//   - Whether the kernel has handed over a FIN that the stream does not want yet, above ReadBufferLimit, or after a pause
//     while its queue is too long: OnEOF may come at once, or later.
//   - Bytes on their way in either direction when a connection is reset: a beginning of them arrives.
//   - A failed write: ECONNRESET or EPIPE. So it is with a reset behind a FIN.
//   - Timers that are due when the stream ends, or begun after Detach, when OnClose waits for a notification.
//   - Calls of other goroutines that race with the loop, such as ResumeRead and then Close.
//   - Bytes that were unread when a stream is closed: beyond ReadBufferLimit they cause a reset. The reset of a Unix socket
//     shows only if bytes were unread.
package difftest
