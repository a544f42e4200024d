package session

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// memory bounds what all streams of an engine hold unread. A stream may hold what is left below the limit, so those that
// hold most stop reading first. It may always hold its share of half the limit, because else streams that wait for the
// rest of their messages could keep all others, and each other, from getting theirs; and a stream that holds nothing may
// always read a piece.
type memory struct {
	limit   int64        // bytes, 0: none
	held    atomic.Int64 // bytes that streams hold
	holders atomic.Int64 // streams that hold any
	tight   atomic.Int64 // streams that have stopped
}

// room is how much a stream may hold when all of them hold so much.
func (m *memory) room(held int64) int64 {
	return max(m.limit-held, m.limit/2/max(m.holders.Load(), 1))
}

// account tells the engine how much the stream holds, and decides whether it may go on reading. Loop only.
func (s *Stream) account() {
	m := &s.loop.engine.memory
	if m.limit == 0 {
		return
	}
	n := s.rx.in.len()
	if s.tls != nil {
		n += s.tls.in.len()
	}
	if s.running && s.stopsShort() {
		n = 0 // what is left at the end is dropped
	}
	before := s.seldom().counted
	change := n - before
	switch {
	case before == 0 && n > 0:
		m.holders.Add(1)
	case before > 0 && n == 0:
		m.holders.Add(-1)
	}
	if change != 0 {
		s.needs().counted = n
	}
	room := m.room(m.held.Add(int64(change)))
	if change < 0 && m.tight.Load() > 0 {
		s.loop.engine.relieve()
	}
	switch {
	case !s.rx.tight && n > 0 && int64(n) > room:
		s.rx.tight = true
		m.tight.Add(1)
		if !s.listed {
			s.listed = true
			s.loop.tight = append(s.loop.tight, s)
		}
	case s.rx.tight && (n == 0 || int64(n) <= room/2):
		s.rx.tight = false // the loop's list forgets it at the next look
		m.tight.Add(-1)
	}
}

// stopsShort reports whether the stream is over, so that it holds nothing any longer.
func (s *Stream) stopsShort() bool { return s.index < 0 }

// relieve has every loop look again at the streams that have stopped.
func (e *Engine) relieve() {
	for _, l := range e.loops {
		if l.relieving.CompareAndSwap(false, true) {
			_ = l.Post(backend.TaskFunc(l.lookAtTight))
		}
	}
}

func (l *loop) lookAtTight() {
	l.relieving.Store(false)
	all := l.tight
	l.tight = nil
	for _, s := range all {
		if s.listed = s.rx.tight; s.rx.tight {
			l.tight = append(l.tight, s)
			s.scheduleTurnEnd()
		}
	}
}

// stuckAfter is how long a stream may be full of bytes that its handler has seen and left before that is logged.
const stuckAfter = time.Second

// watchStuck follows that a stream has stopped reading at its limit.
func (s *Stream) watchStuck() {
	if s.seldom().stuck != nil || s.rx.wanted() > 0 || !s.running {
		return
	}
	seen := s.rx.read
	own := s.needs()
	own.stuck = &backend.Timer{Fire: func() { s.checkStuck(seen) }}
	s.loop.StartTimer(own.stuck, stuckAfter)
}

// checkStuck logs, once for a stream, that its handler waits for more than the stream may hold. seen is what it had read
// when the watch began.
func (s *Stream) checkStuck(seen uint64) {
	if !s.rx.full || s.rx.waiting() || s.stops() != 0 || s.rx.read != seen {
		s.own.stuck = nil // it moves, or somebody has stopped it on purpose
		if s.rx.full && s.stops() == 0 {
			s.watchStuck() // it may have moved for the last time
		}
		return
	}
	s.loop.engine.log.Warn("tandem: a handler leaves unread what has reached ReadBufferLimit, so that nothing more can come; raise the limit, or read",
		"loop", s.loop.index, "stream", s.id, "unread", s.rx.in.len(), "limit", s.opts.ReadBufferLimit)
}

// panicsASecond is how many panics are logged in a second.
const panicsASecond = 10

// panicLog spares the log of panics that a peer may provoke.
type panicLog struct {
	mu    sync.Mutex // guards limit
	limit logLimit
}

// Logger returns the logger of the stream's Transport, for handlers that have to tell an operator something. Any
// goroutine.
func Logger(s *Stream) *slog.Logger { return s.loop.engine.log }

// Memory returns the pool of the stream's loop, for layers that hold bytes of the stream for longer than a callback. Any
// goroutine.
func Memory(s *Stream) *backend.Pool { return &s.loop.Pool }

// logPanic logs a panic in the call that l has entered last, or counts it.
func (e *Engine) logPanic(l *loop, p *PanicError) {
	e.panics.mu.Lock()
	e.panics.limit.burst = panicsASecond
	skipped, ok := e.panics.limit.allow(l.Clock())
	e.panics.mu.Unlock()
	if !ok {
		return
	}
	message, attrs := "tandem: panic in a function of a loop, which goes on", []any{"loop", l.index}
	if id := l.entered.stream(); id != 0 {
		message, attrs = "tandem: panic in a callback; its stream is reset", append(attrs, "stream", id)
	}
	attrs = append(attrs, "callback", l.entered.callback().String(), "panic", fmt.Sprint(p.Value), "stack", string(p.Stack),
		"skipped", skipped)
	e.log.Error(message, attrs...)
}
