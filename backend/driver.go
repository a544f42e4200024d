package backend

import (
	"errors"
	"sync/atomic"
	"time"
)

// ErrPending is what [Driver.Send] returns when the answer comes later, by [Events.Sent].
var ErrPending = errors.New("backend: send pending")

// MaxVector is how many slices TrySendVector and [Driver.Send] take at most.
const MaxVector = 64

// MaxOvershoot is how many bytes of a socket a driver reports at most after Receive has switched receiving off.
const MaxOvershoot = 256 << 10

// Driver moves the bytes of the sockets of one loop. The package documentation is its contract. All methods belong to
// the loop's goroutine, except Wake and those of Sockets. A method that takes a Socket must not be called after Release
// of it.
type Driver interface {
	Sockets

	// Start is called once, on the loop's goroutine, before anything else there. A driver that is bound to a thread
	// binds here. From then on it adds to c what it does; c belongs to the loop's goroutine.
	Start(c *Counters) error

	// Poll hands prepared work to the kernel, reports what has happened since, and returns how many events there were.
	// With wait == 0 it looks and never sleeps. Otherwise it sleeps until there is an event, Wake is called, or wait
	// has passed; for ever if wait is negative. An error means that the driver cannot go on at all.
	Poll(wait time.Duration) (events int, err error)

	// Wake ends the sleep of a Poll, of the present one or, if there is none, of the next. Any goroutine may call it,
	// also after Close, when it does nothing.
	Wake()

	// Attach makes a socket known. Nothing is received, accepted or sent before it is asked for.
	Attach(s *Socket) error

	// Receive switches receiving on or off. Switched off, bytes that the kernel has already handed over are still
	// reported, at most MaxOvershoot of them, and HungUp is called if the connection fails. It is off after Attach and
	// after ReceiveEnded.
	Receive(s *Socket, on bool)

	// Accept switches accepting on a listening socket on or off. It is off after Attach, and after Accepted reported
	// an error.
	Accept(s *Socket, on bool)

	// Connect waits for the end of a connect(2) that is in progress, and reports it once by Connected.
	Connect(s *Socket)

	// Send sends from bufs, in order, at most MaxVector of them. It returns how many bytes the kernel took at once, or
	// ErrPending if Sent will tell, or the error. It may take fewer than all. The slice bufs itself is free again when Send
	// returns.
	Send(s *Socket, bufs [][]byte) (n int, err error)

	// SendFiles is Send, and passes files over a Unix socket: all of them with the first byte, if the count that it returns
	// is above 0, else none. ErrPending means that nothing was taken; Sent(0, nil) follows when there is room. The error
	// is syscall.ETOOMANYREFS while too many of the user's files are on their way. See SocketFiles.
	SendFiles(s *Socket, bufs [][]byte, files []Descriptor) (n int, err error)

	// Keep makes the memory behind the bytes that Received is reporting right now the caller's, and returns the
	// function that gives it back, which any goroutine may call, once. It returns nil if the driver cannot spare the
	// memory; then the bytes have to be copied.
	Keep() (release func())

	// Release ends all requests on the socket. Released follows, from a Poll, and before it Received, Sent and
	// ReceiveEnded if a request has taken bytes, or the connection's error, from the kernel, which tells it once; and
	// Accepted for connections that it has accepted: other processes may have the listening socket, and then nobody
	// else would serve them.
	Release(s *Socket)

	// Features names what is in use, for people.
	Features() []string

	// Outstanding tells what the kernel still holds. It is zero when every socket has been released and every kept
	// buffer given back.
	Outstanding() Outstanding

	// Close ends the driver and frees everything it owns. Sockets that are still attached are forgotten without an
	// event; their descriptors stay open, and Socket.Busy reports whether the kernel may still read what was to be sent
	// on them. It comes after a failure, too, and in the middle of a Poll whose goroutine an event has ended; if the
	// goroutine of Start is gone or another has taken the loop over, from that other one.
	Close() error
}

// MakeDrivers calls fn n times, and returns the drivers that it makes; all of them, or none and the error.
func MakeDrivers(n int, fn func() (Driver, error)) ([]Driver, error) {
	var all []Driver
	for range n {
		d, err := fn()
		if err != nil {
			for _, d := range all {
				err = errors.Join(err, d.Close())
			}
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// Mover is a Driver with which another goroutine can go on. A driver that is bound to the thread of Start is none.
type Mover interface {
	// Move makes the driver the calling goroutine's, between two calls of Poll.
	Move() error
}

// Sleeper is a Driver that wants to know when its loop is about to sleep: after the last look at the tasks, when whoever
// posts one has to call Wake. It is for simulated drivers, which let others come in right there.
type Sleeper interface {
	BeforeSleep()
}

// ParkingDriver is a Driver that can sleep in more than one way.
type ParkingDriver interface {
	Driver

	// Parks says what the loop is to do with the choice. It is asked once.
	Parks() Parking

	// SleepAs says how the next sleeps are. It comes before a Poll that may sleep. A driver that cannot sleep in this way
	// sleeps Blocked.
	SleepAs(m SleepMode)

	// Yield lets other goroutines run that are ready, those included that are so by a timer or by Go's poller, between two
	// calls of Poll. It may take long. It may end the sleep that comes next, and is no event of that.
	Yield()
}

// SleepMode is a way to sleep: what becomes of the goroutine's right to run Go code, which others may wait for.
type SleepMode int

// Ways to sleep.
const (
	Blocked SleepMode = iota // the runtime takes it away after a while: 20 µs to 10 ms
	Parked                   // the next goroutine gets it at once. This costs more
	Held                     // the goroutine keeps it, and Poll returns after HeldTime at the latest
)

// HeldTime is how long Held sleeps take at most. Others wait for them, the garbage collector included.
const HeldTime = 100 * time.Microsecond

// HeldWait is how long a held sleep takes at most that is to take wait, or for ever if that is negative.
func HeldWait(wait time.Duration) time.Duration {
	if wait < 0 {
		return HeldTime
	}
	return min(wait, HeldTime)
}

// Parking is when a driver parks.
type Parking int

// When a driver parks.
const (
	ParksNever     Parking = iota // it has no choice
	ParksInCompany                // while others are at work
	ParksAsARule                  // always, except in a loop that is alone and sleeps often
)

// Outstanding is what a driver has given to the kernel or to its owner and not got back.
type Outstanding struct {
	Sockets  int // attached and not yet released
	Requests int // in flight on behalf of sockets
	Buffers  int // kept by owners, by Keep
	Starved  int // sockets whose receives wait for buffers
}

// ForwardingDriver is a Driver that asks the Forwarder of a Socket before it receives. Its Descriptors are file descriptors,
// which another ForwardingDriver may forward to.
type ForwardingDriver interface {
	Driver
	Forwards()
}

// PipeSize is how many bytes are forwarded at a time, at most. The kernel may allow a pipe less; F_SETPIPE_SZ in fcntl(2).
// More than MaxOvershoot are forwarded only where the kernel has said that there is room for them.
const PipeSize = 1 << 20

// Forwarder takes the received bytes of a socket in place of its owner.
type Forwarder interface {
	// Expects reports whether Wants is likely to do so when something has come. A driver that has to ask for bytes before
	// they come waits for them first then.
	Expects() bool

	// Wants reports whether what can be received now is to be forwarded, and to which socket. Otherwise it is received as
	// usual.
	Wants() (to Descriptor, ok bool)

	// Forward is called with n bytes in a pipe, and returns how many it has taken out of it. The owner gets the rest by
	// Received.
	Forward(p *Pipe, n int) int
}

// Events is what a driver reports about one socket.
type Events interface {
	Received(p []byte)      // bytes of the stream, at least one
	ReceiveEnded(err error) // io.EOF or an errno; nothing more will be received
	HasTurnBudget() bool    // asked by a driver that can keep received bytes: may more be reported in this turn?
	Sent(n int, err error)  // the answer to a Send that was pending; n may be short, also 0: send again
	Connected(err error)    // the answer to Connect: nil or an errno

	// Accepted reports a new descriptor, which is the owner's, and the peer's address if the kernel told it with the
	// connection, else the zero Address; or an errno, and accepting is off.
	Accepted(d Descriptor, from Address, err error)

	HungUp()   // receiving is off and the kernel reports an error or a hang-up
	Released() // nothing refers to the descriptor any longer
}

// NoEvents ignores every event. Owners embed it and write only what concerns them.
type NoEvents struct{}

// Received implements Events.
func (NoEvents) Received([]byte) {}

// HasTurnBudget implements Events.
func (NoEvents) HasTurnBudget() bool { return true }

// ReceiveEnded implements Events.
func (NoEvents) ReceiveEnded(error) {}

// Sent implements Events.
func (NoEvents) Sent(int, error) {}

// Connected implements Events.
func (NoEvents) Connected(error) {}

// Accepted implements Events.
func (NoEvents) Accepted(Descriptor, Address, error) {}

// HungUp implements Events.
func (NoEvents) HungUp() {}

// Released implements Events.
func (NoEvents) Released() {}

// ForwardOwner is an Owner of a Socket whose Forwards is set.
type ForwardOwner interface {
	// Forwarder is who takes the received bytes. It is asked for each piece.
	Forwarder() Forwarder
}

// Socket is one descriptor on one driver. Its owner sets what comes first, down to Shared, before Attach; the other
// fields are the driver's. It is valid from Attach to Released, and belongs to the loop's goroutine. There is one for each
// connection: it fits a cache line, and what few connections have is asked of the owner.
type Socket struct {
	Owner      Events // may be replaced between two events
	Descriptor        // non-blocking, close-on-exec

	// Bounded is for a listening socket: once accepting is switched off, Accepted may still bring one connection, and
	// not all that are in the backlog. The owner may set it later; it holds from the next time on that accepting is
	// switched on, after Accepted has brought what was asked for before.
	Bounded bool

	// Files has files received that come over a Unix socket. The owner is a FileOwner then. It may be cleared between two
	// events, and not set. Without it the kernel closes what comes.
	Files bool

	// Forwards has received bytes taken to another socket within the kernel. The owner is a ForwardOwner then. Only a
	// ForwardingDriver asks it. It may be changed between two events.
	Forwards bool

	// Shared is set for a socket whose open file others have, too: they may make it blocking, and may take a connection
	// that was ready. Its owner may set it at any time, on any goroutine.
	Shared atomic.Bool

	changed  bool   // on a list of Changes
	State    uint32 // bits of the driver
	InFlight int32  // requests whose last completion has not been seen
	ID       ID     // slot and generation, given by Attach
	Op       any    // memory that a Send in flight reads; nil: there is none
}

func (s *Socket) forwarder() Forwarder { return s.Owner.(ForwardOwner).Forwarder() }

// WantsForward reports whether what can be received now is to be forwarded, and to which socket. Forwards is set.
func (s *Socket) WantsForward() (to Descriptor, ok bool) { return s.forwarder().Wants() }

// ExpectsForward reports whether WantsForward is likely to do so when something has come.
func (s *Socket) ExpectsForward() bool { return s.Forwards && s.forwarder().Expects() }

// Busy reports whether the kernel may still read the bytes of a Send. It is for sockets that the driver's Close has
// forgotten: if a driver could not wait for its requests, the memory behind these bytes must never be used again, and the
// driver keeps it reachable for good.
func (s *Socket) Busy() bool { return s.Op != nil }
