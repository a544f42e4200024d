package session

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// atTimer runs fn on the loop in a timer: the turn ends then before a task is run that fn has posted.
func (s *stage) atTimer(fn func()) {
	s.Helper()
	l := s.engine.loops[0]
	l.StartTimer(&backend.Timer{Fire: fn}, time.Millisecond)
	s.clock.advance(time.Millisecond)
	s.turn()
}

// earlyEnds end a stream before it is open.
var earlyEnds = map[string]struct {
	end   func(*Stream) error
	reset bool // the peer would take nothing for all there was, or Abort says so
}{
	"close": {(*Stream).Close, false},
	"abort": {(*Stream).Abort, true},
	"close with a queue": {func(s *Stream) error {
		_, err := s.Write([]byte("x"))
		return errors.Join(err, s.Close())
	}, true},
}

// TestAdoptedStreamEndsBeforeItsSocketComes closes a stream in the turn in which it was adopted. Its socket comes later.
func TestAdoptedStreamEndsBeforeItsSocketComes(t *testing.T) {
	for name, early := range earlyEnds {
		t.Run(name, func(t *testing.T) {
			s, r := newStage(t, 1), &recorder{}
			ran := 0
			s.atTimer(func() {
				a, err := s.engine.Adopt(anyConn{}, r)
				require.NoError(t, err)
				require.NoError(t, a.Post(func() { ran++ }))
				require.NoError(t, early.end(a))
			})
			assert.Equal(t, "close use of closed network connection", r.took())
			assert.Equal(t, 1, ran)
			require.Len(t, s.sockets, 1)
			assert.True(t, s.sockets[0].closed, "the descriptor is open")
			assert.Equal(t, backend.Closing{Reset: early.reset}, s.sockets[0].how)
			assert.Nil(t, s.sockets[0].sock, "the driver has it")
			l := s.engine.loops[0]
			assert.Zero(t, l.refs, "the loop is held")
			assert.Empty(t, l.streams)
			assert.Zero(t, l.load.Load())
		})
	}
}

// TestDialEndsBeforeItBegins is the same for a dial.
func TestDialEndsBeforeItBegins(t *testing.T) {
	c := newCaller(t)
	c.atTimer(func() {
		var err error
		c.s, err = c.engine.Connect("tcp", "192.0.2.1:1", c.recorder, &DialOptions{Timeout: time.Second})
		require.NoError(t, err)
		require.NoError(t, c.s.Close())
	})
	assert.Equal(t, "close use of closed network connection", c.took())
	c.gone()
}

// TestDialledStreamEndsBeforeItOpens ends a stream as it is connected.
func TestDialledStreamEndsBeforeItOpens(t *testing.T) {
	for name, early := range earlyEnds {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t)
			c.connect(nil)
			c.made[0].answer = nil
			_, err := c.engine.loops[0].Step(0) // it has won, and the driver lets go of the attempt
			require.NoError(t, err)
			require.NoError(t, early.end(c.s))
			c.gone()
			assert.Equal(t, "close use of closed network connection", c.took())
			assert.Equal(t, backend.Closing{Reset: early.reset}, c.made[0].how)
		})
	}
}

// goexits has functions of WriteNotify and Post end the goroutine, one after another, around the end of a stream. All of
// them run, and OnClose does. They are given to the stream when begin calls give; it ends the stream, or the loop.
func goexits(t *testing.T, begin func(s *stage, h Handler, give func(*Stream))) {
	r, ran := &recorder{}, map[string]int{}
	var s *stage
	elsewhere(func() { // the goroutine ends with the loop
		s = newStage(t, 1)
		begin(s, r, func(a *Stream) {
			for range 3 {
				assert.NoError(t, a.WriteNotify([]byte("x"), func(error) { ran["notify"]++; runtime.Goexit() }))
			}
			for range 3 {
				assert.NoError(t, a.Post(func() { ran["post"]++; runtime.Goexit() }))
			}
		})
		s.turn()
	})
	l := s.engine.loops[0]
	<-l.Done()
	assert.Equal(t, 1, strings.Count(r.took(), "close "), "OnClose")
	assert.Equal(t, map[string]int{"notify": 3, "post": 3}, ran)
	assert.Zero(t, l.refs, "the loop is held")
	assert.Empty(t, l.dialing)
	assert.Zero(t, l.load.Load())
	for i, f := range s.sockets {
		assert.True(t, f.closed, "socket %d is open", i)
	}
}

// TestGoexitAroundAnEnd has streams end that are none of the loop's yet, and their functions end the loop.
func TestGoexitAroundAnEnd(t *testing.T) { //nolint:funlen // one story, in order
	adopt := func(s *stage, h Handler) *Stream {
		a, err := s.engine.Adopt(anyConn{}, h)
		assert.NoError(s, err)
		return a
	}
	dial := func(s *stage, h Handler) *Stream {
		a, err := s.engine.Connect("tcp", "192.0.2.1:1", h, nil)
		assert.NoError(s, err)
		return a
	}
	for name, begin := range map[string]func(*stage, Handler, func(*Stream)){
		"a dial that fails": func(s *stage, h Handler, give func(*Stream)) {
			s.onSocket = func(f *fakeSocket) { f.answer = syscall.ECONNREFUSED }
			give(dial(s, h))
		},
		"a dial that ends before it begins": func(s *stage, h Handler, give func(*Stream)) {
			s.atTimer(func() {
				a := dial(s, h)
				give(a)
				_ = a.Close()
			})
		},
		"a dial in a shutdown": func(s *stage, h Handler, give func(*Stream)) {
			give(dial(s, h))
			s.engine.loops[0].draining = true
		},
		"a dial as the loop dies": func(s *stage, h Handler, give func(*Stream)) {
			give(dial(s, h))
			s.engine.loops[0].Fail(errOnPurpose)
			_, _ = s.engine.loops[0].Step(0)
		},
		"a dial that is given up as the loop dies": func(s *stage, h Handler, give func(*Stream)) {
			a := dial(s, h)
			s.turn()
			give(a)
			_ = a.Abort()
			s.engine.loops[0].Fail(errOnPurpose)
			_, _ = s.engine.loops[0].Step(0)
		},
		"a socket that the driver refuses": func(s *stage, h Handler, give func(*Stream)) {
			give(adopt(s, h))
			s.refuse = syscall.ENOBUFS
		},
		"a socket that comes too late": func(s *stage, h Handler, give func(*Stream)) {
			s.atTimer(func() {
				a := adopt(s, h)
				give(a)
				_ = a.Close()
			})
		},
		"a socket that comes in a shutdown": func(s *stage, h Handler, give func(*Stream)) {
			give(adopt(s, h))
			s.engine.loops[0].draining = true
		},
		"a socket that comes as the loop dies": func(s *stage, h Handler, give func(*Stream)) {
			give(adopt(s, h))
			s.engine.loops[0].Fail(errOnPurpose)
			_, _ = s.engine.loops[0].Step(0)
		},
		"an open stream": func(s *stage, h Handler, give func(*Stream)) {
			a := adopt(s, h)
			s.turn()
			s.of(a.fd).room = 0
			give(a)
		},
	} {
		t.Run(name, func(t *testing.T) { goexits(t, begin) })
	}
}

var errOnPurpose = errors.New("on purpose")

// TestStreamOnDyingLoopTellsTheCause has a loop die in the turn in which streams were given to it.
func TestStreamOnDyingLoopTellsTheCause(t *testing.T) {
	s, adopted, dialled := newStage(t, 1), &recorder{}, &recorder{}
	l := s.engine.loops[0]
	l.StartTimer(&backend.Timer{Fire: func() {
		_, err := s.engine.Adopt(anyConn{}, adopted)
		require.NoError(t, err)
		_, err = s.engine.Connect("tcp", "192.0.2.1:1", dialled, nil)
		require.NoError(t, err)
		l.Fail(errOnPurpose)
	}}, 0)
	_, err := l.Step(0)
	require.ErrorIs(t, err, errOnPurpose)
	assert.Contains(t, adopted.took(), errOnPurpose.Error())
	assert.Contains(t, dialled.took(), errOnPurpose.Error())
}
