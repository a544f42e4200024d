package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/tandem-io/tandem/frame"
)

// Frames returns a Handler that calls fn once for each message in the bytes of the peer. Set further fields of it
// before it gets its first stream. One FrameHandler may serve any number of streams.
//
// All bytes of the stream are read here; fn itself may read what is behind its message, and so take it away from the
// codec. The message is decoded in place where that is possible: it is valid until fn returns, and fn must not block. What is
// called for a stream in fn holds at once: after PauseRead, Close, Abort, Detach or SetHandler there is no further
// message. ResumeRead, or the handler that was set, goes on with the byte behind the message.
//
// Messages are delivered within the turn's budget, and only while the queue is below HighWater, unless ReadWhileBlocked
// is set: so a peer that sends requests and does not read the answers is held up. A message may be larger than
// ReadBufferLimit: the stream reads on until it has it, up to the codec's MaxSize, by default 16 MiB for most codecs of
// package frame. Memory grows as bytes come, to twice their number, never because of a length that the peer claims. What a
// peer may hold by a message that it does not finish is bounded by MaxSize, and for how long by MessageTimeout; what all
// peers may hold, by the Transport's MemoryLimit.
//
// Bytes that are no message, and an end of the stream within one, end the stream: it closes in stages, as by
// CloseInStages, also if Invalid calls Close, and OnClose gets the *frame.Error, whose Offset counts from the first byte
// of the peer. There is no EOF before it. A message that the end of the stream would end is not delivered if the stream has
// TLS, and its peer has finished without close_notify: that is an end within a message, too. A stream that had failed
// already ends with its failure. A message that the codec drops, as with the option SkipTooLarge, ends nothing: see Skipped.
//
// codec and fn must not be nil: a Transport refuses a handler without them where it is given.
func Frames[M any](codec frame.Codec[M], fn func(s *Stream, m M)) *FrameHandler[M] {
	return &FrameHandler[M]{Codec: codec, Message: fn}
}

// FrameHandler is a Handler whose streams carry messages. Codec and Message must be set, the rest may be nil; to have a
// handler with a type of its own, embed a *FrameHandler. Its functions are callbacks, in the order that Handler says.
type FrameHandler[M any] struct {
	Codec   frame.Codec[M]
	Message func(s *Stream, m M) // for each message; m is valid until it returns

	Open     func(s *Stream)            // the stream is connected
	EOF      func(s *Stream)            // the peer has finished behind its last message
	Writable func(s *Stream)            // the queue has fallen under LowWater
	Close    func(s *Stream, err error) // the end; nil after Close, a *frame.Error after wrong bytes
	Drain    func(s *Stream)            // the Transport shuts down; nil: the stream is closed

	// MessageTimeout is the longest time from a message's first byte to its last. A stream whose peer takes longer
	// closes in stages, as after wrong bytes: what is queued is sent, nothing more is delivered, the peer may send on for
	// 500 ms, and OnClose gets an error that is os.ErrDeadlineExceeded; Invalid is not called. The time begins anew when a
	// stream goes on that was paused or had its queue above HighWater, and if a callback was holding up the loop when it ran
	// out. It does run while the Transport's MemoryLimit keeps the stream from reading, because otherwise streams in the
	// middle of messages could stop each other for ever. Default 0: none.
	MessageTimeout time.Duration

	// Continue goes on with work that is too much for one turn. It is called once for each turn in which Later was called:
	// in the next turn, before anything else is delivered.
	Continue func(s *Stream)

	// Skipped is called when the codec has dropped a message, and goes on behind it, as with the option SkipTooLarge: in
	// the message's turn, behind its last byte. Offset of err, the place of the message, counts from the first byte of the
	// peer. Skipped may do what Message may, such as write an answer. Nil: the message is dropped silently. MessageTimeout
	// holds for dropped messages too.
	Skipped func(s *Stream, err *frame.Error)

	// Invalid is called when the peer has sent what is no message, before the stream closes. It may write an answer.
	Invalid func(s *Stream, err *frame.Error)
}

// streamDecoder is what a FrameHandler knows of one stream. It is a finalDecoder.
type streamDecoder[M any] struct {
	messageDecoder[M]
	of       *FrameHandler[M]
	turn     uint64 // of the last delivery
	bytes    int    // of messages, delivered in that turn
	messages int    // delivered in that turn
	late     *lateness
}

// decoder returns the state of s, which is new if s has just got this handler.
func (h *FrameHandler[M]) decoder(s *Stream) *streamDecoder[M] {
	f, ok := s.rx.decoder.(*streamDecoder[M])
	if !ok || f.of != h {
		f = &streamDecoder[M]{messageDecoder: newMessageDecoder(h.Codec), of: h, late: newLateness(s, h.MessageTimeout)}
		s.rx.decoder = f
	}
	return f
}

// check implements checker.
func (h *FrameHandler[M]) check() error {
	switch {
	case h == nil:
		return errors.New("the FrameHandler is nil")
	case h.Codec == nil:
		return errors.New("the FrameHandler has no Codec")
	case h.Message == nil:
		return errors.New("the FrameHandler has no Message function")
	case h.MessageTimeout < 0:
		return fmt.Errorf("MessageTimeout is %v; it must be positive, or 0 for none", h.MessageTimeout)
	}
	return nil
}

// checker is a Handler that may lack something.
type checker interface{ check() error }

// checkHandler refuses a handler that would panic later.
func checkHandler(h Handler) error {
	if h == nil {
		return errors.New("Handler is nil")
	}
	if c, ok := h.(checker); ok {
		return c.check()
	}
	return nil
}

// OnOpen implements Handler.
func (h *FrameHandler[M]) OnOpen(s *Stream) {
	if h.Open != nil {
		h.Open(s)
	}
}

// OnData implements Handler.
func (h *FrameHandler[M]) OnData(s *Stream) {
	f, handler := h.decoder(s), s.rx.changes
	for s.rx.unfinished || s.rx.in.len() > 0 {
		if f.spent(s) {
			s.redeliver()
			return
		}
		if s.rx.unfinished {
			s.rx.unfinished = false
			h.Continue(s)
			if s.rx.changes != handler {
				return
			}
			continue
		}
		p := s.rx.in.bytes()
		m, n, ok, err := f.next(p, s.rx.read)
		skips := skipped(err)
		if err != nil && skips == nil {
			h.invalid(s, err)
			return
		}
		s.consume(n)
		f.bytes += n
		if !ok && skips == nil {
			s.inbox().wanted = f.wait
			f.prompt(s)
			f.late.waits()
			return
		}
		s.inbox().wanted = 0
		f.late.whole()
		f.messages++
		if skips != nil {
			h.skip(s, skips)
		} else {
			h.message(s, m, p[:n])
		}
		if s.rx.changes != handler {
			return
		}
	}
}

// message calls the handler with a message that was decoded from p. It stays valid until that returns.
func (h *FrameHandler[M]) message(s *Stream, m M, p []byte) {
	in := s.inbox()
	in.lendMessage()
	defer in.endMessage(p)
	h.Message(s, m)
}

// Later ends the turn of a stream whose messages h gets. Message and Continue call it when there is more to do for a
// message than a turn has room for: then Continue is called in the next turn, and until it returns without having called
// Later again, nothing else is delivered, neither messages nor EOF. While the stream is paused, or its queue is above
// HighWater, Continue waits. After Close, Abort, Detach and SetHandler it is not called any more, nor is it for a message
// that the end of the stream ends. Later panics if Continue is nil. Loop only.
func (h *FrameHandler[M]) Later(s *Stream) {
	if h.Continue == nil {
		panic("tandem: Later of a FrameHandler that has no Continue function")
	}
	if f, ok := s.rx.decoder.(*streamDecoder[M]); ok && f.of == h {
		s.rx.unfinished = true
		f.bytes = s.opts.TurnBudget
	}
}

// skip calls the handler for a message that was dropped.
func (h *FrameHandler[M]) skip(s *Stream, err *frame.Error) {
	if h.Skipped != nil {
		h.Skipped(s, err)
	}
}

// spent reports whether the next message has to wait: for the next turn, or because of what was called.
func (f *streamDecoder[M]) spent(s *Stream) bool {
	if turn := s.loop.Turn(); f.turn != turn {
		f.turn, f.bytes, f.messages = turn, 0, 0
	}
	switch n := f.messages; {
	case s.stops() != 0 || f.bytes >= s.opts.TurnBudget:
		return true
	case n == 0 || n&(n-1) != 0 && n%16 != 0: // the clock is read after 1, 2, 4, 8, 16 messages, and each 16 then
		return false
	}
	return int64(s.rx.turnTime)+s.loop.sinceStamp() >= turnLimit
}

// prompt sends what the peer waits for before it goes on with its message.
func (f *streamDecoder[M]) prompt(s *Stream) {
	if p, ok := f.dec.(frame.Prompter); ok {
		if word := p.Prompt(); len(word) > 0 {
			_, _ = s.Write(word) // fails only if the stream has ended, or has no room
		}
	}
}

// goesOn is called when the stream reads on after it did not: after a pause, or when its queue has emptied.
func (f *streamDecoder[M]) goesOn() { f.late.goesOn() }

// decodeFinal implements finalDecoder.
func (f *streamDecoder[M]) decodeFinal(s *Stream) {
	s.rx.decoder = nil
	f.late.whole()
	p := s.rx.in.bytes()
	m, ok, err := f.end(p, s.rx.read, s.truncated())
	if err != nil {
		f.of.invalid(s, err)
		return
	}
	s.consume(s.rx.in.len())
	if ok {
		f.of.message(s, m, p)
	}
}

// OnEOF implements Handler.
func (h *FrameHandler[M]) OnEOF(s *Stream) {
	if h.EOF != nil {
		h.EOF(s)
	}
}

// invalid ends a stream whose peer has sent what is no message.
func (h *FrameHandler[M]) invalid(s *Stream, err error) {
	if e, ok := err.(*frame.Error); ok && h.Invalid != nil {
		h.Invalid(s, e)
	}
	s.closeWith(err, false)
}

// OnWritable implements Handler.
func (h *FrameHandler[M]) OnWritable(s *Stream) {
	if h.Writable != nil {
		h.Writable(s)
	}
}

// OnClose implements Handler.
func (h *FrameHandler[M]) OnClose(s *Stream, err error) {
	if h.Close != nil {
		h.Close(s, err)
	}
}

// OnDrain implements Drainer.
func (h *FrameHandler[M]) OnDrain(s *Stream) {
	if h.Drain != nil {
		h.Drain(s)
	} else {
		_ = s.Close()
	}
}

// WriteFrame encodes m and writes it, as Write does: from any goroutine, without blocking, the whole frame or nothing.
// It keeps nothing of m. The error is the codec's, or that of Write: ErrWriteBufferFull, net.ErrClosed.
func WriteFrame[M any, C frame.Codec[M]](s *Stream, codec C, m M) error {
	scratch := s.loop.Pool.Get(int(s.hint.Load()))
	p, err := codec.Append(scratch[:0], m)
	if err == nil {
		if len(p) > len(scratch) {
			s.hint.Store(int32(min(len(p), largestHint)))
		}
		_, err = s.Write(p)
	}
	s.loop.Pool.Put(scratch)
	return err
}

// largestHint is the size of the largest frame for which WriteFrame keeps memory, in bytes.
const largestHint = 1 << 20
