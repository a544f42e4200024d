package session

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// anywhere are the methods that any goroutine may call, and loopOnly those that belong to the loop.
var anywhere = map[string]func(s *Stream){
	"Abort":           func(s *Stream) { _ = s.Abort() },
	"AbortWith":       func(s *Stream) { _ = s.AbortWith(io.ErrUnexpectedEOF) },
	"After":           func(s *Stream) { s.After(time.Hour, func() {}).Stop() },
	"Close":           func(s *Stream) { _ = s.Close() },
	"CloseInStages":   func(s *Stream) { _ = CloseInStages(s) },
	"CloseWrite":      func(s *Stream) { _ = s.CloseWrite() },
	"Detach":          func(s *Stream) { _, _ = s.Detach() },
	"Every":           func(s *Stream) { s.Every(time.Hour, func() {}) },
	"Flush":           func(s *Stream) { _ = s.Flush() },
	"ID":              func(s *Stream) { s.ID() },
	"LocalAddr":       func(s *Stream) { s.LocalAddr() },
	"Loop":            func(s *Stream) { s.Loop() },
	"Options":         func(s *Stream) { s.Options() },
	"PauseRead":       func(s *Stream) { s.PauseRead() },
	"PeerCredentials": func(s *Stream) { _, _ = s.PeerCredentials() },
	"Post":            func(s *Stream) { _ = s.Post(func() {}) },
	"Queued":          func(s *Stream) { s.Queued() },
	"RemoteAddr":      func(s *Stream) { s.RemoteAddr() },
	"ResumeRead":      func(s *Stream) { s.ResumeRead() },
	"SetSocketOption": func(s *Stream) { _ = s.SetSocketOption(backend.NoDelay(true)) },
	"SocketOption":    func(s *Stream) { _, _ = s.SocketOption(backend.NoDelay(true)) },
	"Stats":           func(s *Stream) { s.Stats() },
	"SyscallConn": func(s *Stream) {
		if raw, err := s.SyscallConn(); err == nil {
			_ = raw.Control(func(uintptr) {})
		}
	},
	"TLS":           func(s *Stream) { s.TLS() },
	"TellWritable":  func(s *Stream) { TellWritable(s) },
	"Value":         func(s *Stream) { s.Value() },
	"Writable":      func(s *Stream) { s.Writable() },
	"Write":         func(s *Stream) { _, _ = s.Write([]byte("written")) },
	"Write nothing": func(s *Stream) { _, _ = s.Write(nil) },
	"WriteBuffer": func(s *Stream) {
		for _, p := range []string{"", "in a buffer"} {
			if b := s.loop.engine.NewBuffer([]byte(p)); s.WriteBuffer(b) != nil {
				b.Release()
			}
		}
	},
	"WriteFiles":          func(s *Stream) { _ = s.WriteFiles([]byte("without files")) },
	"WriteNotify":         func(s *Stream) { _ = s.WriteNotify([]byte("notified"), func(error) {}) },
	"WriteNotify nothing": func(s *Stream) { _ = s.WriteNotify(nil, func(error) {}) },
	"WritePart":           func(s *Stream) { _, _ = WritePart(s, []byte("a part")) },
	"Writev":              func(s *Stream) { _, _ = s.Writev(net.Buffers{[]byte("two"), nil, []byte("pieces")}) },
}

var loopOnly = map[string]func(s *Stream){
	"Buffered":           func(s *Stream) { s.Buffered() },
	"Discard":            func(s *Stream) { _, _ = s.Discard(-1) },
	"Next":               func(s *Stream) { _, _ = s.Next(1) },
	"Peek":               func(s *Stream) { _, _ = s.Peek(-1) },
	"Read":               func(s *Stream) { _, _ = s.Read(make([]byte, 2)) },
	"SetHandler":         func(s *Stream) { s.SetHandler(s.handler) },
	"SetIdleTimeout":     func(s *Stream) { s.SetIdleTimeout(time.Hour) },
	"SetReadIdleTimeout": func(s *Stream) { s.SetReadIdleTimeout(time.Hour) },
	"SetValue":           func(s *Stream) { s.SetValue(1) },
	"StartTLS":           func(s *Stream) { _ = s.StartTLS(&tls.Config{InsecureSkipVerify: true}, false) },
	"Take": func(s *Stream) {
		if b, err := s.Take(-1); err == nil {
			b.Release()
		}
	},
	"TakeFiles": func(s *Stream) { s.TakeFiles() },
	"WriteTo":   func(s *Stream) { _, _ = s.WriteTo(io.Discard) },
}

// phasesOfAStream bring an open stream to where a method is called. nil: one that is being dialled.
var phasesOfAStream = map[string]func(a *actor){
	"dialing": nil,
	"open":    func(*actor) {},
	"open, with bytes": func(a *actor) {
		a.leave = true
		a.f.in = []byte("unread bytes")
		a.turn()
	},
	"open, paused with bytes": func(a *actor) {
		a.s.PauseRead()
		a.f.in = []byte("unread bytes")
		a.turn()
	},
	"blocked": func(a *actor) {
		a.f.room = 0
		_, _ = a.s.Write(make([]byte, 10_000))
		a.turn()
	},
	"closing": func(a *actor) {
		a.f.room = 0
		_, _ = a.s.Write(make([]byte, 10_000))
		_ = a.s.Close()
		a.turn()
	},
	"closing now":   func(a *actor) { _ = a.s.Close() },
	"aborted now":   func(a *actor) { _ = a.s.Abort() },
	"detached now":  func(a *actor) { _, _ = a.s.Detach() },
	"peer finished": func(a *actor) { a.leave = true; a.f.in = []byte("last"); a.f.eof = true; a.turn() },
	"peer failed":   func(a *actor) { a.f.in = []byte("last"); a.f.failure = syscall.ECONNRESET },
	"closed":        func(a *actor) { _ = a.s.Close(); a.turn() },
	"reset":         func(a *actor) { a.f.failure = syscall.ECONNRESET; a.turn() },
	"loop dead":     func(a *actor) { a.kill(a.s.loop, errors.New("the driver has failed")) },
}

// TestMethodsInEveryPhase calls every method in every phase of a stream, on its loop and elsewhere. None may panic, and what
// they have needed is given back when the stream ends.
func TestMethodsInEveryPhase(t *testing.T) {
	for i := range reflect.TypeFor[*Stream]().NumMethod() {
		name := reflect.TypeFor[*Stream]().Method(i).Name
		assert.True(t, anywhere[name] != nil || loopOnly[name] != nil, "%s is not called here", name)
	}
	for phase, enter := range phasesOfAStream {
		t.Run(phase, func(t *testing.T) {
			for name, call := range anywhere {
				inPhase(t, name, enter, call)
				inPhase(t, name+" elsewhere", enter, func(s *Stream) { elsewhere(func() { call(s) }) })
			}
			for name, call := range loopOnly {
				inPhase(t, name, enter, call)
			}
		})
	}
}

func inPhase(t *testing.T, name string, enter func(*actor), call func(*Stream)) {
	t.Run(name, func(t *testing.T) {
		a := &actor{stage: newStage(t, 1), recorder: &recorder{}}
		if enter != nil {
			a = newActor(t, StreamOptions{HighWater: 1000, WriteBufferLimit: 20_000})
			enter(a)
		} else {
			s, err := a.engine.Connect("tcp", "192.0.2.1:1", a.recorder, nil)
			require.NoError(t, err)
			a.s = s
		}
		l := a.s.loop
		call(a.s)
		a.turn()
		call(a.s)
		a.turn()
		_ = a.s.Abort()
		a.turn()
		call(a.s)
		a.turn()
		require.Equal(t, closed, a.s.life.phase)
		assert.Nil(t, a.s.rx.in)
		assert.Nil(t, a.s.tx.out)
		for i, q := range l.queues.few {
			assert.False(t, slices.Contains(l.queues.few[:i], q), "given back twice")
			assert.Zero(t, q.len())
			assert.Empty(t, q.segs)
		}
		for i, in := range l.inboxes.few {
			assert.False(t, slices.Contains(l.inboxes.few[:i], in), "given back twice")
			assert.True(t, in.isIdle())
			assert.Zero(t, in.unseen)
		}
	})
}
