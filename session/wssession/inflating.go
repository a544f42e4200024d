package wssession

import (
	"sync"
	"time"

	"github.com/tandem-io/tandem/frame/websocket"
)

// mostInflating is how many messages may be inflated at a time, beyond the first step of each.
const mostInflating = 8

// mostIdle is how long a message keeps its place when nobody goes on with it, as of a stream that is paused.
const mostIdle = 100 * time.Millisecond

// inflations are the messages that are being inflated, those of all connections of the process: what a peer has sent as a
// few kilobytes may be as large as MaxMessage, so without a bound a thousand peers would need a thousand times that. Each
// has a place. A message without one waits, and what was inflated of it is dropped.
type inflations struct {
	mu     sync.Mutex
	places [mostInflating]place
}

// place is that of one message. Its Assembler belongs to the connection while busy, and to inflations otherwise.
type place struct {
	in   *websocket.Assembler // nil: it is free
	busy bool
	at   time.Time // when it was busy last
}

var inflating inflations

// of returns the place of an Assembler, or a free one for nil, or nil.
func (l *inflations) of(in *websocket.Assembler) *place {
	for i := range l.places {
		if l.places[i].in == in {
			return &l.places[i]
		}
	}
	return nil
}

// enter gives the Assembler a place, in which it is busy until leave, and reports whether there was one.
func (l *inflations) enter(in *websocket.Assembler) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.of(in)
	if p == nil {
		p = l.of(nil)
	}
	if p == nil {
		p = l.evict(time.Now())
	}
	if p == nil {
		return false
	}
	p.in, p.busy = in, true
	return true
}

// evict frees the place of a message that nobody goes on with.
func (l *inflations) evict(now time.Time) *place {
	for i := range l.places {
		if p := &l.places[i]; !p.busy && now.Sub(p.at) > mostIdle {
			p.in.Restart()
			return p
		}
	}
	return nil
}

// leave ends what enter has begun. The place stays the Assembler's if it is unfinished.
func (l *inflations) leave(in *websocket.Assembler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.of(in); p != nil {
		p.busy, p.at = false, time.Now()
		if !in.Unfinished() {
			p.in = nil
		}
	}
}

// forget frees the place of an Assembler, if it has one, and resets it.
func (l *inflations) forget(in *websocket.Assembler) {
	if in.Unfinished() {
		l.mu.Lock()
		if p := l.of(in); p != nil {
			*p = place{}
		}
		l.mu.Unlock()
	}
	in.Reset()
}

// begun follows an Add that has left something unfinished.
func (l *inflations) begun(in *websocket.Assembler) {
	if !l.enter(in) {
		in.Restart()
		return
	}
	l.leave(in)
}

// goOn is Continue of the Assembler when it has a place. Otherwise it does nothing.
func (l *inflations) goOn(in *websocket.Assembler) (m websocket.Message, ok bool, err error) {
	if !l.enter(in) {
		return m, false, nil
	}
	defer l.leave(in)
	return in.Continue()
}
