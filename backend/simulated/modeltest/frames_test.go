package modeltest

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// framing is a run of messages: from a peer to a stream, which answers each, and pauses now and then.
type framing struct {
	seed        uint64
	completions bool
	sizes       []int // of messages
	pause       int   // after so many messages; 0: never
	options     int
	buffers     int  // of the kernel
	timeout     bool // the peer stops in the middle of a message
	invalid     bool // the peer sends what is no message, at the end
	careless    bool // the decoder leaves the limit of a message to its caller
	upgrade     bool // behind the last message come bytes of another protocol

	next   int // message that comes next
	tail   reader
	closed int
	err    error
	broken error
}

func framings() *rapid.Generator[*framing] {
	return rapid.Custom(func(t *rapid.T) *framing {
		return &framing{
			seed: rapid.Uint64Range(0, 1<<20).Draw(t, "seed"), completions: rapid.Bool().Draw(t, "completions"),
			sizes:   rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 7, 100, 999, 5000, 20000}), 1, 20).Draw(t, "sizes"),
			pause:   rapid.IntRange(0, 4).Draw(t, "pause"),
			options: rapid.IntRange(0, 3).Draw(t, "options"),
			buffers: rapid.SampledFrom([]int{3000, 20000}).Draw(t, "buffers"),
			timeout: rapid.Bool().Draw(t, "timeout"), invalid: rapid.Bool().Draw(t, "invalid"),
			careless: rapid.Bool().Draw(t, "careless"), upgrade: rapid.Bool().Draw(t, "upgrade"),
		}
	})
}

// tailName and tailSize are those of the bytes behind the last message, if the protocol changes there.
const tailName, tailSize = 999, 9000

var codec = frame.U64{MaxPayload: 30000}

// carelessCodec has a Decoder without a limit of its own.
type carelessCodec struct{ frame.U64 }

// NewDecoder implements frame.Codec.
func (carelessCodec) NewDecoder() frame.Decoder[[]byte] {
	return frame.U64{MaxPayload: math.MaxInt}.NewDecoder()
}

// message is the payload of message i.
func (f *framing) message(i int) []byte { return sequence(1000+i, 0, f.sizes[i]) }

func (f *framing) failf(format string, args ...any) {
	if f.broken == nil {
		f.broken = fmt.Errorf(format, args...)
	}
}

// got follows that a message has come.
func (f *framing) got(s *session.Stream, m []byte) {
	switch {
	case f.next >= len(f.sizes):
		f.failf("a message too many, of %d bytes", len(m))
	case firstDifference(m, f.message(f.next)[:min(len(m), f.sizes[f.next])]) >= 0 || len(m) != f.sizes[f.next]:
		f.failf("message %d is wrong; it has %d bytes, want %d", f.next, len(m), f.sizes[f.next])
	}
	f.next++
	last := f.upgrade && f.next == len(f.sizes)
	if last { // reads what is behind the message, and gives the memory back
		if b, err := s.Take(-1); err == nil {
			f.more(b.Bytes())
			b.Release()
		}
	}
	if err := session.WriteFrame(s, codec, m); err != nil {
		f.failf("WriteFrame: %w", err)
	}
	if want := f.message(f.next - 1); firstDifference(m, want) >= 0 {
		f.failf("S04: message %d has changed", f.next-1)
	}
	if last {
		s.SetHandler(&upgraded{f: f})
		f.endTail(s)
		return
	}
	if f.pause > 0 && f.next%f.pause == 0 {
		s.PauseRead()
		s.After(time.Millisecond, s.ResumeRead)
	}
}

// more follows that bytes behind the last message were read.
func (f *framing) more(p []byte) {
	if err := f.tail.read(p); err != nil {
		f.failf("behind the last message: %w", err)
	}
}

// endTail closes the stream when all that follows the last message has come.
func (f *framing) endTail(s *session.Stream) {
	if f.tail.off == tailSize {
		_ = s.Close()
	}
}

// upgraded is the Handler of the other protocol.
type upgraded struct {
	session.BaseHandler
	f *framing
}

// OnData implements session.Handler.
func (u *upgraded) OnData(s *session.Stream) {
	p, _ := s.Next(-1)
	u.f.more(p)
	u.f.endTail(s)
}

// OnClose implements session.Handler.
func (u *upgraded) OnClose(_ *session.Stream, err error) {
	u.f.closed, u.f.err = u.f.closed+1, err
	if u.f.tail.off != tailSize {
		u.f.failf("%d bytes behind the last message; want %d", u.f.tail.off, tailSize)
	}
}

// run returns the rule that was broken.
func (f *framing) run() {
	k := simulated.New(simulated.Config{Seed: f.seed, Faults: simulated.Rough(), SendBuffer: f.buffers, ReceiveBuffer: f.buffers, Settle: synctest.Wait})
	o := limits[f.options]
	o.IdleTimeout, o.ReadIdleTimeout, o.WriteBufferLimit, o.AllowHalfClose = 0, 0, 0, true
	opts, _ := o.Complete()
	e, err := session.New(session.Config{
		Drivers: []backend.Driver{k.NewDriver(f.completions)}, CallerDriven: true, Logger: slog.New(slog.DiscardHandler),
		Clock: k.Clock(), Stream: *opts,
	})
	if err != nil {
		f.failf("New: %w", err)
		return
	}
	h := session.Frames[[]byte](codec, f.got)
	if f.careless {
		h = session.Frames[[]byte](carelessCodec{codec}, f.got)
	}
	h.MessageTimeout = 10 * time.Second
	h.EOF = func(s *session.Stream) { _ = s.Close() }
	h.Close = func(_ *session.Stream, err error) { f.closed, f.err = f.closed+1, err }
	l, err := e.Listen("tcp", "localhost:0", h, nil)
	if err != nil {
		f.failf("Listen: %w", err)
		return
	}
	p, _ := k.Dial("tcp", l.Addr().String())
	f.send(p)
	for i := 0; f.closed == 0 && i < 100_000; i++ {
		_, _ = e.Poll(time.Second)
	}
	f.check(p)
	if err := e.Close(); err != nil || k.OpenDescriptors() != 0 {
		f.failf("Close: %v, and %d descriptors are open", err, k.OpenDescriptors())
	}
}

// send has the peer send everything.
func (f *framing) send(p *simulated.Peer) {
	var all []byte
	for i := range f.sizes {
		all, _ = codec.Append(all, f.message(i))
	}
	switch {
	case f.upgrade:
		all = append(all, sequence(tailName, 0, tailSize)...)
	case f.timeout:
		all = append(all, 0, 0)
	case f.invalid:
		all = append(all, 0x40, 0x9c, 0, 0, 0, 0, 0, 0) // 40000 bytes, beyond the limit
	}
	p.Send(all)
	if !f.timeout || f.upgrade {
		p.Finish()
	}
}

// check compares what has come, and how it has ended.
func (f *framing) check(p *simulated.Peer) {
	switch {
	case f.closed != 1:
		f.failf("OnClose was called %d times, after %d messages of %d", f.closed, f.next, len(f.sizes))
	case f.next != len(f.sizes):
		f.failf("%d messages came of %d, and then %v", f.next, len(f.sizes), f.err)
	case f.upgrade:
		if f.err != nil {
			f.failf("OnClose(%v) of the other protocol", f.err)
		}
	case f.timeout && !errors.Is(f.err, os.ErrDeadlineExceeded):
		f.failf("a message was late: %v", f.err)
	case f.invalid && !f.timeout && !errors.Is(f.err, frame.ErrTooLarge):
		f.failf("a message was wrong: %v", f.err)
	case !f.invalid && !f.timeout && f.err != nil:
		f.failf("OnClose(%v)", f.err)
	}
	var want []byte
	for i := range f.sizes {
		want, _ = codec.Append(want, f.message(i))
	}
	if got := p.Received(); len(got) > len(want) || firstDifference(got, want[:len(got)]) >= 0 || len(got) < len(want) && f.broken == nil && p.EOF() {
		f.failf("%d bytes of answers came; want %d", len(got), len(want))
	}
}

// TestRandomFrames runs random messages, for a tenth of the time that TANDEM_SIMULATE says.
func TestRandomFrames(t *testing.T) {
	again(t, 10, func(rt *rapid.T) {
		f := framings().Draw(rt, "framing")
		synctest.Test(t, func(*testing.T) { f.run() })
		if f.broken != nil {
			rt.Fatalf("%v", f.broken)
		}
	})
}
