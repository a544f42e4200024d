package wssession

import (
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/websocket"
)

// mostInflating is how many messages may be inflated at a time, beyond the first step of each.
const mostInflating = 8

// A message keeps its place for as long as nobody goes on with it, as of a stream that is paused: until each of those that wait
// has asked for a place mostAsked times, which they do once in a turn, and for mostIdle, because loops are not equally fast.
const (
	mostAsked = 16
	mostIdle  = 100 * time.Millisecond
)

// inflations are the messages that are being inflated, those of all connections of the process: what a peer has sent as a
// few kilobytes may be as large as MaxMessage, so without a bound a thousand peers would need a thousand times that. Each
// has a place. A message without one waits, and what was inflated of it is dropped.
type inflations struct {
	mu      sync.Mutex
	places  [mostInflating]place
	waiting map[*websocket.Assembler]struct{} // those that have asked in vain
}

// place is that of one message. Its Assembler belongs to the connection while busy, and to inflations otherwise.
type place struct {
	in    *websocket.Assembler // nil: it is free
	busy  bool
	at    time.Time // when it was busy last
	asked int       // how often others have asked in vain since
}

var inflating = inflations{waiting: map[*websocket.Assembler]struct{}{}}

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
		p = l.evict(backend.SystemClock{}.Now())
	}
	if p == nil {
		l.waiting[in] = struct{}{}
		return false
	}
	delete(l.waiting, in)
	p.in, p.busy = in, true
	return true
}

// evict frees the place of a message that nobody goes on with.
func (l *inflations) evict(now time.Time) *place {
	for i := range l.places {
		p := &l.places[i]
		if p.asked++; !p.busy && p.asked > mostAsked*(len(l.waiting)+1) && now.Sub(p.at) > mostIdle {
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
		p.busy, p.at, p.asked = false, backend.SystemClock{}.Now(), 0
		if !in.Unfinished() {
			p.in = nil
		}
	}
}

// forget frees the place of an Assembler, if it has one, and resets it.
func (l *inflations) forget(in *websocket.Assembler) {
	if in.Unfinished() {
		l.mu.Lock()
		delete(l.waiting, in)
		if p := l.of(in); p != nil {
			*p = place{}
		}
		l.mu.Unlock()
	}
	in.Reset()
}

// add is Add of the Assembler. A message that this leaves unfinished gets a place, or has to begin anew when it has one.
func (l *inflations) add(in *websocket.Assembler, f websocket.Frame) (m websocket.Message, ok bool, err error) {
	m, ok, err = in.Add(f)
	if in.Unfinished() {
		if l.enter(in) {
			l.leave(in)
		} else {
			in.Restart()
		}
	}
	return m, ok, err
}

// goOn is Continue of the Assembler when it has a place. Otherwise it does nothing.
func (l *inflations) goOn(in *websocket.Assembler) (m websocket.Message, ok bool, err error) {
	if !l.enter(in) {
		return m, false, nil
	}
	defer l.leave(in)
	return in.Continue()
}
