package ringtest

// Habits are what a Kernel does that kernels may do, and how often: fields of type int are in thousandths of the
// occasions. The zero Habits are those of a kernel that answers at once, in order, and in full. The package
// documentation says for each where a real kernel does it.
type Habits struct {
	ShortReceive  int // a receive takes fewer bytes than there are
	ShortSend     int // a send takes fewer bytes than there is room for
	SendAgain     int // a send that finds no room completes with EAGAIN
	SendInterrupt int // a send completes with EINTR and takes nothing
	NoBuffers     int // a receive finds no buffer though there are some

	LateWork       int // what became ready is handled some enters later
	LateCompletion int // the last completion of a request is posted some enters later
	Requeue        int // a multishot receive goes on in the next enter, behind others
	Shuffle        int // what is ready is handled in another order than it became ready

	CancelMissed int // a cancellation does not find its request: ENOENT
	CancelLate   int // a cancellation is too late: EALREADY; the request ends by itself, or with EINTR
	CancelBehind int // a cancelled request completes before the cancellation, not behind it

	Part   int // a call takes only some of the submissions
	NoRoom int // a call takes no submission, for lack of memory: EAGAIN
	Busy   int // a call takes no submission while completions have overflowed: EBUSY
	Early  int // a waiting call returns without a completion: EINTR

	AcceptFails int // an accept completes with ENOMEM, EMFILE or ENFILE
	PollFails   int // a poll completes with ENOMEM, which ends a stream

	RefuseMessage int // a message is refused: EPERM, as by a seccomp filter, or ENOMEM
	RefuseRingFD  int // the ring's descriptor cannot be registered: EBUSY

	// What follows are properties of older kernels.

	NoMessages bool // before 6.13: no messages without a ring
	NoLimit    bool // before 6.17: a multishot receive cannot be bounded
	NoUnixHint bool // nothing tells how much a Unix socket has left
	EOFBuffer  bool // the end of a stream takes a buffer
	SQArray    bool // before 6.6: SetupNoSQArray is refused
}

// decision is a kind of decision. Decisions of different kinds do not influence each other.
type decision int

const (
	shortReceive decision = iota
	shortSend
	sendAgain
	sendInterrupt
	noBuffers
	lateWork
	lateCompletion
	requeue
	shuffle
	cancelMissed
	cancelLate
	cancelBehind
	part
	noRoom
	busy
	early
	acceptFails
	pollFails
	refuseMessage
	refuseRingFD
	order
	howMany
	decisions
)

// dice makes the decisions of one ring.
type dice struct {
	seed  uint64
	count [decisions]uint64
}

// roll is the next number of a kind.
func (d *dice) roll(kind decision) uint64 {
	d.count[kind]++
	return mix(mix(d.seed, uint64(kind)), d.count[kind])
}

// chance reports whether the next occasion is one of so many in a thousand.
func (d *dice) chance(kind decision, thousandths int) bool {
	return thousandths > 0 && d.roll(kind)%1000 < uint64(thousandths)
}

// below is a number from 0 to n-1.
func (d *dice) below(kind decision, n int) int { return int(d.roll(kind) % uint64(n)) }

// mix is splitmix64 of two numbers.
func mix(a, b uint64) uint64 {
	x := a + (b+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Wild are habits that depend on the seed alone: about half of those that a stream survives, each rare, usual or
// frequent, so that some seeds have few and others have many at a time. What ends a stream or a listener against its
// will is not among them: AcceptFails and PollFails are 0.
func Wild(seed uint64) Habits {
	var h Habits
	n := uint64(0)
	next := func() uint64 { n++; return mix(seed^0xabcdef, n) }
	for _, f := range []*int{
		&h.ShortReceive, &h.ShortSend, &h.SendAgain, &h.SendInterrupt, &h.NoBuffers, &h.LateWork, &h.LateCompletion,
		&h.Requeue, &h.Shuffle, &h.CancelMissed, &h.CancelLate, &h.CancelBehind, &h.Part, &h.NoRoom, &h.Busy, &h.Early,
		&h.RefuseMessage, &h.RefuseRingFD,
	} {
		if next()%2 == 0 {
			*f = []int{10, 100, 400}[next()%3]
		}
	}
	for _, f := range []*bool{&h.NoMessages, &h.NoLimit, &h.NoUnixHint, &h.EOFBuffer, &h.SQArray} {
		*f = next()%5 == 0
	}
	return h
}
