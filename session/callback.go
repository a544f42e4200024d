package session

import "fmt"

// callback is a kind of function of the program's that loops call.
type callback uint8

// The callbacks.
const (
	noCallback callback = iota
	onOpen
	onData
	onEOF
	onWritable
	onClose
	onDrain
	inTLS // a function of a tls.Config
	notTLS
	writeNotify
	detachWith
	given // to Post
	after
	every
	each
	relayEnded
)

var callbackNames = [...]string{
	noCallback: "no callback", onOpen: "OnOpen", onData: "OnData", onEOF: "OnEOF", onWritable: "OnWritable", onClose: "OnClose",
	onDrain: "OnDrain", inTLS: "TLS", notTLS: "NotTLS", writeNotify: "WriteNotify", detachWith: "DetachWith",
	given: "Post", after: "After", every: "Every", each: "Each",
	relayEnded: "Relay",
}

// String is the method that the program wrote, or that it gave the function to.
func (c callback) String() string { return callbackNames[c] }

// call is a callback and its stream, in one word: the loop stores it when another callback begins, and others look.
type call uint64

// callOf is a callback of a stream, whose number is 0 if it is the loop's own.
func callOf(c callback, stream uint64) call { return call(stream<<8 | uint64(c)) }

func (c call) callback() callback { return callback(c) }
func (c call) stream() uint64     { return uint64(c >> 8) }

// describe says what a call is, and of which stream or loop.
func (l *loop) describe(c call) string {
	if c.stream() == 0 {
		return fmt.Sprintf("%s of loop %d", c.callback(), l.index)
	}
	return fmt.Sprintf("%s of stream %d", c.callback(), c.stream())
}

// begins notes which call begins, for those who ask what the loop is busy with.
func (l *loop) begins(c call) {
	l.Enter()
	if l.entered != c {
		l.entered = c
		l.current.Store(uint64(c))
	}
	if l.traced {
		l.beginRegion(c)
	}
}

// ends notes that a call that begins has noted has returned.
func (l *loop) ends() {
	l.Answer()
	if l.traced {
		l.endRegion()
	}
}

// goesOn notes that a call goes on inside which others were made.
func (l *loop) goesOn(c call) {
	l.entered = c
	l.current.Store(uint64(c))
}

// enter notes that a callback of s begins.
func (l *loop) enter(s *Stream, what callback) { l.begins(callOf(what, s.id)) }

// enterUntimed is enter for a callback whose time is nobody's: least of all that of the stream whose data comes next.
func (l *loop) enterUntimed(s *Stream, what callback) {
	l.stamped = 0
	l.enter(s, what)
}

// enterOwn is enterUntimed for a function that belongs to no stream.
func (l *loop) enterOwn(what callback) {
	l.stamped = 0
	l.begins(callOf(what, 0))
}
