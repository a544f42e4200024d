package polled

// Session is one connection that its caller drives. Nothing is called back, and nothing waits. A duty cycle is
//
//	activity, err := s.Drive()            // the connection's turn
//	data, status, err := s.Read()         // what has been received
//	rest, written, err := s.Write(data)   // what is to be sent; with Pending, pass rest again later
//
// An error is a failure of the connection or of its protocol, and is permanent: having to wait is never an error. Data
// that was received before a failure is read first; Read, Drive and Status report the failure afterwards. Write reports it
// at once. After Close every method returns net.ErrClosed.
//
// One goroutine at a time may use a Session. R is the type that it reads, W the type that it writes.
type Session[R, W any] interface {
	// Status returns the state of the connection.
	Status() Status

	// Drive does the pending work of the connection, without waiting: it connects, shakes hands, and sends what Write
	// took. Nothing moves without it. A dial that fails is an error of Drive.
	Drive() (Activity, error)

	// Read returns what has been received. With Data, r is valid until the next Read or Close. The error is io.EOF when
	// the peer has finished sending; this end may still write then. If the peer finished within a message, the error is
	// a *frame.Error that is io.ErrUnexpectedEOF.
	Read() (r R, status ReadStatus, err error)

	// Write takes w, or the first part of it. With Pending, the caller passes rest again after Drive, which is always
	// correct. Write keeps no reference to w.
	Write(w W) (rest W, status WriteStatus, err error)

	// Flush hands on as much of what Write took as can be sent now. Drive hands on the rest.
	Flush() error

	// Close ends the connection. What Write took and this layer has handed on is still sent. Calls after the first do
	// nothing.
	Close() error
}

// Bytes is a Session that carries a stream of bytes, in which the boundaries of single reads and writes have no meaning.
type Bytes = Session[[]byte, []byte]

// Status is the state of a Session. It only grows.
type Status uint8

// The statuses, in order.
const (
	Establishing Status = iota // Read returns None, Write returns Pending
	Established                // both directions are open
	Terminated                 // closed or failed, and everything received has been read
)

// String returns the constant's name, in lower case.
func (s Status) String() string { return nameOf(s, "establishing", "established", "terminated") }

// Activity reports whether Drive found anything to do.
type Activity uint8

// Results of Drive.
const (
	Idle   Activity = iota // nothing: if Read returns None as well, the caller may sleep
	Active                 // something was done
)

// String returns the constant's name, in lower case.
func (a Activity) String() string { return nameOf(a, "idle", "active") }

// ReadStatus describes the result of a Read.
type ReadStatus uint8

// Results of Read.
const (
	None     ReadStatus = iota // nothing was received; with any other status the caller should not sleep
	Buffered                   // bytes were received, but not yet a complete message
	Data                       // r holds a message, or bytes
)

// String returns the constant's name, in lower case.
func (r ReadStatus) String() string { return nameOf(r, "none", "buffered", "data") }

// WriteStatus describes the result of a Write.
type WriteStatus uint8

// Results of Write.
const (
	Success WriteStatus = iota // everything was taken
	Pending                    // rest was not taken, for lack of room
)

// String returns the constant's name, in lower case.
func (w WriteStatus) String() string { return nameOf(w, "success", "pending") }

func nameOf[N ~uint8](n N, names ...string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return "unknown"
}
