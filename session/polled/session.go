package polled

import "github.com/tandem-io/tandem/session"

// Session is one connection that its caller drives: nothing is called back, and nothing waits. A duty cycle is
//
//	activity, err := s.Drive()            // the connection's turn
//	data, status, err := s.Read()         // what has come
//	rest, written, err := s.Write(data)   // what is to go; Pending: pass the rest again, later
//
// An error is a failure of the connection or of its protocol, and stays: nothing that merely has to wait is an error.
// What came before a failure is read first: Read, Drive and Status show the failure when that has been read. Write shows
// it at once. After Close every method returns net.ErrClosed.
//
// One goroutine at a time may use a Session. R is what it reads, W what it writes.
type Session[R, W any] interface {
	// Status tells how far the connection is.
	Status() Status

	// Drive does what there is to do, without waiting: it connects, shakes hands, and moves what Write took. Nothing
	// moves without it. A dial that fails is an error here.
	Drive() (Activity, error)

	// Read returns what has come. With Data, r is valid until the next Read or Close. The error is io.EOF when the peer
	// has finished, which does not keep this end from writing. If it did so within a message, it is a *frame.Error
	// that is io.ErrUnexpectedEOF.
	Read() (r R, status ReadStatus, err error)

	// Write takes w, or the first part of it. With Pending, the caller passes rest again, after Drive: that is always
	// right. Nothing of w is kept.
	Write(w W) (rest W, status WriteStatus, err error)

	// Flush hands on what Write took, as much of it as can go now. Drive sees to the rest.
	Flush() error

	// Close ends the connection. What Write took and this layer has handed on still goes out. Calls after the first
	// do nothing.
	Close() error
}

// Bytes is a Session that carries a stream of bytes: where one piece ends and the next begins means nothing.
type Bytes = Session[[]byte, []byte]

// Status is how far a Session is. It only grows.
type Status uint8

// The statuses, in order.
const (
	Establishing Status = iota // Read returns None, Write Pending
	Established                // bytes go both ways
	Terminated                 // closed or failed, and all that came has been read
)

// String returns the constant's name, in lower case.
func (s Status) String() string { return nameOf(s, "establishing", "established", "terminated") }

// Activity tells whether Drive found something to do.
type Activity uint8

// What Drive found.
const (
	Idle   Activity = iota // nothing: with None from Read, the caller may sleep
	Active                 // something was done
)

// String returns the constant's name, in lower case.
func (a Activity) String() string { return nameOf(a, "idle", "active") }

// ReadStatus tells what Read has.
type ReadStatus uint8

// What Read has.
const (
	None     ReadStatus = iota // nothing has come; only this may make the caller idle
	Buffered                   // something has come, and it is not yet a message
	Data                       // a message, or bytes
)

// String returns the constant's name, in lower case.
func (r ReadStatus) String() string { return nameOf(r, "none", "buffered", "data") }

// WriteStatus tells what became of a Write.
type WriteStatus uint8

// What Write took.
const (
	Success WriteStatus = iota // all was taken
	Pending                    // the rest was not, or nothing: there is no room
)

// String returns the constant's name, in lower case.
func (w WriteStatus) String() string { return nameOf(w, "success", "pending") }

func nameOf[N ~uint8](n N, names ...string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return "unknown"
}

// Transport is what sessions need of a tandem.Transport.
type Transport interface {
	Connect(network, address string, h session.Handler, o *session.DialOptions) (*session.Stream, error)
	Listen(network, address string, h session.Handler, o *session.ListenOptions) (session.Listener, error)
}
