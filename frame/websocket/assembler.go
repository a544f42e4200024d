package websocket

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/tandem-io/tandem/frame"
)

// Message is a message, or a fragment of one. Its zero value is no message.
type Message struct {
	Kind Opcode // Text, Binary, Ping, Pong or Close
	Data []byte
	More bool // a fragment, and another one of the same message follows
}

// Assembler makes messages of the frames of one peer. Control frames between the fragments of a message are messages of
// their own, at once.
//
// With Codec.Fragments each fragment is a Message with the Kind of the whole, and those but the last have More. A compressed
// message always comes whole.
//
// A compressed message of a few kilobytes may grow to MaxMessage, which takes a while. So it is inflated in steps of at most
// 128 KiB: the first is made by Add. As long as there is Unfinished work, Continue makes another one.
//
// One goroutine at a time may use an Assembler.
type Assembler struct {
	most      int
	mostParts int
	fragments bool

	kind       Opcode // of the message that has begun; Continuation: none has
	compressed bool   // whether that is compressed
	text       TextChecker
	parts      *[]byte // its fragments so far; nil: none
	count      int     // how many these are
	lent       *[]byte // memory of the message that was returned last; nil: it is the frame's

	inflating *inflater // of a whole message; nil: none
	inflated  Opcode    // its kind
}

// NewAssembler returns an Assembler of the frames that a Decoder of c finds.
func NewAssembler(c Codec) *Assembler {
	return &Assembler{most: c.limit(), mostParts: c.fragmentLimit(), fragments: c.Fragments}
}

// Add takes the next frame, unmasks it in place, and reports whether m is a message. Data is valid as long as the frame's
// memory is, or until Done or Add is called. There must be no Unfinished work.
//
// An error is a *frame.Error, whose Offset counts from the beginning of the frame's payload; CodeOf says how to close. It
// is final. Text that is not UTF-8 is one as soon as a fragment shows it.
func (a *Assembler) Add(f Frame) (m Message, ok bool, err error) {
	if a.inflating != nil {
		return Message{}, false, malformed(0, "a frame behind a message that is being inflated") // a mistake of the caller
	}
	a.Done()
	f.Unmask()
	switch {
	case f.Opcode == Close:
		_, err = ParseClose(f.Payload)
		return Message{Kind: Close, Data: f.Payload}, err == nil, err
	case f.Opcode.Control():
		return Message{Kind: f.Opcode, Data: f.Payload}, true, nil
	case f.Opcode == Continuation && a.kind == Continuation || f.Opcode != Continuation && a.kind != Continuation:
		return Message{}, false, malformed(0, "a %v frame out of order", f.Opcode) // only without a Decoder of ours
	case f.Opcode != Continuation && f.Fin && !f.RSV1:
		return a.single(f)
	}
	return a.fragment(f)
}

// single is Add for a message of one frame that is not compressed.
func (a *Assembler) single(f Frame) (Message, bool, error) {
	if len(f.Payload) > a.most {
		return Message{}, false, tooLarge(a.most, "a message", a.most)
	}
	if f.Opcode == Text && !utf8.Valid(f.Payload) {
		return Message{}, false, invalid(0, "a text that is no UTF-8")
	}
	return Message{Kind: f.Opcode, Data: f.Payload}, true, nil
}

func (a *Assembler) fragment(f Frame) (m Message, ok bool, err error) {
	if f.Opcode != Continuation {
		a.kind, a.compressed, a.text = f.Opcode, f.RSV1, TextChecker{}
	}
	kind := a.kind
	if f.Fin {
		a.kind = Continuation
	}
	if a.compressed {
		return a.deflated(kind, f)
	}
	if kind == Text && !a.text.Add(f.Payload, f.Fin) {
		return Message{}, false, invalid(0, "a text that is no UTF-8")
	}
	if a.fragments {
		if len(f.Payload) > a.most {
			return Message{}, false, tooLarge(a.most, "a fragment", a.most)
		}
		return Message{Kind: kind, Data: f.Payload, More: !f.Fin}, true, nil
	}
	if err := a.join(f.Payload); err != nil || !f.Fin {
		return Message{}, false, err
	}
	a.lent, a.parts = a.parts, nil
	return Message{Kind: kind, Data: *a.lent}, true, nil
}

// join adds a fragment to those so far.
func (a *Assembler) join(p []byte) error {
	if a.parts == nil {
		a.parts, a.count = getMemory(), 0
	}
	if a.count++; a.count > a.mostParts {
		return &frame.Error{Codec: codecName, Err: frame.ErrTooLarge, What: fmt.Sprintf("a message of more fragments than the limit of %d", a.mostParts)}
	}
	if len(p) > a.most-len(*a.parts) {
		return tooLarge(a.most-len(*a.parts), "a message", a.most)
	}
	*a.parts = append(*a.parts, p...)
	return nil
}

// deflated is fragment for a message that is compressed.
func (a *Assembler) deflated(kind Opcode, f Frame) (m Message, ok bool, err error) {
	p := f.Payload
	if a.parts != nil || !f.Fin {
		if err := a.join(p); err != nil || !f.Fin {
			return Message{}, false, err
		}
		p = *a.parts
	}
	a.inflating, a.inflated = newInflater(p, a.parts, a.most), kind
	a.parts = nil
	return a.Continue()
}

// Unfinished reports whether a message is there, and not inflated yet.
func (a *Assembler) Unfinished() bool { return a.inflating != nil }

// Restart gives the memory of what was inflated back, and has Continue begin with the message anew.
func (a *Assembler) Restart() {
	if a.inflating != nil {
		a.text = TextChecker{}
		a.inflating.restart()
	}
}

// Continue inflates on. Otherwise it is like Add, but for Offset of an error, which counts from the beginning of the
// message as it was sent.
func (a *Assembler) Continue() (m Message, ok bool, err error) {
	z := a.inflating
	if z == nil {
		return Message{}, false, nil
	}
	from := len(z.out)
	done, err := z.step()
	if err == nil && a.inflated == Text && !a.text.Add(z.out[from:], done) {
		err = invalid(0, "a text that is no UTF-8")
	}
	if err == nil && !done {
		z.keep()
		return Message{}, false, nil
	}
	a.inflating, a.lent = nil, z.free(err == nil)
	if err != nil {
		return Message{}, false, err
	}
	return Message{Kind: a.inflated, Data: *a.lent}, true, nil
}

// Done ends the use of the message that was returned last, so that its memory serves others.
func (a *Assembler) Done() {
	if a.lent != nil {
		putMemory(a.lent)
		a.lent = nil
	}
}

// Reset forgets the message that has begun, and returns its memory.
func (a *Assembler) Reset() {
	a.Done()
	if a.parts != nil {
		putMemory(a.parts)
		a.parts = nil
	}
	if a.inflating != nil {
		a.inflating.free(false)
		a.inflating = nil
	}
	a.kind = Continuation
}

// memories holds memory for messages, up to mostKept bytes each.
var memories = sync.Pool{New: func() any { return new([]byte) }}

const mostKept = 1 << 20

func getMemory() *[]byte { return memories.Get().(*[]byte) }

func putMemory(p *[]byte) {
	if cap(*p) <= mostKept {
		*p = (*p)[:0]
		memories.Put(p)
	}
}
