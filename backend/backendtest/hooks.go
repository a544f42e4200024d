package backendtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/session"
)

// Hooks is the Handler of streams under test: it calls the functions that a rule sets, collects what is left to it, and
// checks the order of callbacks. One Hooks may serve many streams.
type Hooks struct {
	Open     func(*session.Stream)
	Data     func(*session.Stream) // nil: read all, and keep it for Got
	EOF      func(*session.Stream)
	Writable func(*session.Stream)
	Close    func(*session.Stream, error)

	opened chan *session.Stream
	closed chan error
	e      *Env
	mu     sync.Mutex // guards what follows
	got    []byte
	lives  map[*session.Stream]*life
	counts map[string]int
}

// life is what a stream has been through.
type life struct {
	running        atomic.Bool
	open, eof, end bool
	handedOver     bool // to another handler
}

// NewHooks makes Hooks that read everything.
func NewHooks() *Hooks {
	return &Hooks{
		opened: make(chan *session.Stream, 1<<16), closed: make(chan error, 1<<16),
		lives: map[*session.Stream]*life{}, counts: map[string]int{},
	}
}

// env ties the Hooks to a test, before the first stream.
func (h *Hooks) env(e *Env) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h.e == nil {
		h.e = e
		e.hooks = append(e.hooks, h)
	}
}

// enter checks that a callback may begin now, and returns what ends it.
func (h *Hooks) enter(s *session.Stream, what string) func() {
	h.mu.Lock()
	l := h.lives[s]
	if l == nil {
		l = &life{}
		h.lives[s] = l
	}
	h.counts[what]++
	assert.True(h.e, l.running.CompareAndSwap(false, true), "%s of stream %d while another of its callbacks runs", what, s.ID())
	switch {
	case l.end:
		h.e.Errorf("%s of stream %d after OnClose", what, s.ID())
	case what == "OnOpen" && l.open, what != "OnOpen" && what != "OnClose" && !l.open:
		h.e.Errorf("%s of stream %d out of order", what, s.ID())
	case what == "OnEOF" && l.eof:
		h.e.Errorf("OnEOF of stream %d twice", s.ID())
	}
	l.open = true // also after an OnClose alone: nothing may follow that either
	l.eof = l.eof || what == "OnEOF"
	l.end = l.end || what == "OnClose"
	h.mu.Unlock()
	return func() { l.running.Store(false) }
}

// abortAll ends the streams that have not ended, and waits for that.
func (h *Hooks) abortAll() {
	over := func(abort bool) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for s, l := range h.lives {
			switch {
			case l.end:
			case !abort:
				return false
			default:
				_ = s.Abort()
			}
		}
		return true
	}
	over(true)
	waitAtMost(leaving, func() bool { return over(false) })
}

// check looks at the streams when everything has ended.
func (h *Hooks) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s, l := range h.lives {
		assert.True(h.e, l.end || l.handedOver, "no OnClose of stream %d", s.ID())
	}
}

// OnOpen implements session.Handler.
func (h *Hooks) OnOpen(s *session.Stream) {
	defer func() { h.opened <- s }()
	defer h.enter(s, "OnOpen")()
	if h.Open != nil {
		h.Open(s)
	}
}

// OnData implements session.Handler.
func (h *Hooks) OnData(s *session.Stream) {
	defer h.enter(s, "OnData")()
	if h.Data != nil {
		h.Data(s)
		return
	}
	h.Collect(s)
}

// Collect reads all there is and keeps it for Got.
func (h *Hooks) Collect(s *session.Stream) {
	p, _ := s.Next(-1)
	h.mu.Lock()
	h.got = append(h.got, p...)
	h.mu.Unlock()
}

// OnEOF implements session.Handler.
func (h *Hooks) OnEOF(s *session.Stream) {
	defer h.enter(s, "OnEOF")()
	if h.EOF != nil {
		h.EOF(s)
	}
}

// OnWritable implements session.Handler.
func (h *Hooks) OnWritable(s *session.Stream) {
	defer h.enter(s, "OnWritable")()
	if h.Writable != nil {
		h.Writable(s)
	}
}

// OnClose implements session.Handler.
func (h *Hooks) OnClose(s *session.Stream, err error) {
	defer h.enter(s, "OnClose")()
	if h.Close != nil {
		h.Close(s, err)
	}
	h.closed <- err
}

// Got returns a copy of what was collected.
func (h *Hooks) Got() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]byte(nil), h.got...)
}

// Len is how many bytes were collected.
func (h *Hooks) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

// Count is how many times a callback was called, such as "OnData".
func (h *Hooks) Count(callback string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[callback]
}

// calls are all callbacks so far, with their numbers.
func (h *Hooks) calls() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprint(h.counts)
}

// Opened waits for the next stream whose OnOpen has run.
func (h *Hooks) Opened() *session.Stream {
	h.e.Helper()
	select {
	case s := <-h.opened:
		return s
	case <-time.After(patience):
		h.e.Fatalf("no OnOpen within %v; there were %s", patience, h.calls())
		return nil
	}
}

// Closed waits for the next OnClose and returns its error.
func (h *Hooks) Closed() error {
	h.e.Helper()
	select {
	case err := <-h.closed:
		return err
	case <-time.After(patience):
		h.e.Fatalf("no OnClose within %v; there were %s", patience, h.calls())
		return nil
	}
}

// StillOpen checks that there is no OnClose for a moment.
func (h *Hooks) StillOpen() {
	h.e.Helper()
	select {
	case err := <-h.closed:
		h.e.Fatalf("OnClose(%v), which was not to be", err)
	case <-time.After(moment):
	}
}
