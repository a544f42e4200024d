package uring

import "github.com/tandem-io/tandem/backend"

// Operations, in the upper bits of user_data. The rest of it is the socket's ID.
const (
	opReceive uint64 = iota << backend.IDBits
	opAccept
	opIncoming // a poll for connections to a shared listening socket
	opConnect
	opSend
	opRoom  // a poll for room in a socket's send buffer
	opWatch // a poll for hang-ups
	opCancel
	opFlush // takes a buffer out of the ring
	opEvent // a poll of the waker's eventfd
	opWake  // a message of the waker's: no request
	opTimer // a poll of the sleep timer

	opMask uint64 = 1<<64 - 1<<backend.IDBits
)

// Socket.State has these groups of bits: what the owner wants, which requests are in flight, cancellations and waiting
// lines, what the driver knows of the connection, and whether the socket is being released. Socket.InFlight counts the
// requests in flight.
//
// A receive, or the accept of a listening socket:
//
//	idle             ─► armed             updateKernel: it is wanted
//	                 ─► awaitsBuffer      updateKernel: it is wanted, and the last receive left bytes in the kernel
//	armed            ─► idle              last completion; updateKernel comes next
//	                 ─► awaitsBuffer      last completion, with ENOBUFS
//	                 ─► armed|cancelling  updateKernel: it is not wanted any longer, or may have overlooked an end
//	armed|cancelling ─► idle              last completion; updateKernel comes next
//
// An armed receive may be a poll, if files may come or a Forwarder wants what comes.
//
//	awaitsBuffer     ─► armed             serve, when it is this socket's turn
//	                 ─► idle              serve, if it is not wanted any longer
//
// The watch for hang-ups, of a stream:
//
//	none             ─► watched           updateKernel
//	watched          ─► pollEnded         last completion: the completion queue was full
//	                 ─► watchFailed       last completion, with an error
//	pollEnded        ─► watched           repoll
//
// A send:
//
//	idle             ─► sending           Send
//	sending          ─► idle              completion: Sent
//	                 ─► roomAwaited       completion, without room, and roomSeen is not set
//	roomAwaited      ─► idle              room: Sent(0, nil), and the owner sends again
//
// Release sets releasing, clears both wants, and cancels all requests in flight. From then on nothing is armed. The
// last completion of the last request makes complete call MarkReleased.
const (
	// What the owner wants.

	wantReceive uint32 = 1 << iota // receiving is on
	wantAccept                     // accepting is on
	stream                         // Receive was called: hang-ups are watched for

	// Requests in flight.

	armed      // a receive, or a poll in its place; or an accept
	multi      // the receive is multishot
	polled     // the receive is a poll, and readable receives
	incoming   // the accept is a poll
	watched    // the watch for hang-ups
	sending    // a send
	roomPolled // the poll for room
	connecting // the poll for the end of a connect

	// Cancellations, and waiting in line.

	cancelling   // the armed request is being cancelled
	cancelMissed // a cancellation did not find its request, which may be in flight all the same
	awaitsBuffer // a receive waits in line for buffers
	postponed    // received bytes wait for the next Poll
	pollEnded    // a poll waits in line to be armed again

	// What is known of the connection.

	hasMore     // the last receive left bytes in the kernel
	hung        // the watch has reported an error, a hang-up, or the peer's end
	overlooked  // and the receive in flight may not have noticed: it is cancelled, until it has ended
	watchFailed // the kernel has refused to watch
	dontWait    // a send found no room: sends do not wait in the kernel any longer
	roomAwaited // the owner is waiting for Sent
	roomSeen    // the poll has reported room since the last send began

	// The end.

	releasing // Release was called
)
