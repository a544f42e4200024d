package backendtest

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// tlsDriven does a handshake, and echoes, in Poll.
func tlsDriven(e *Env) {
	t := e.driven(session.StreamOptions{})
	a := e.listenTLS(t, echo(), &session.ListenOptions{})
	result := make(chan error, 1)
	c := e.rawPeer(a)
	go func() { result <- helloOver(c) }()
	e.poll(func() bool { return len(result) > 0 }, "the echo", t)
	require.NoError(e, <-result)
}

// helloOver shakes hands as a client, and waits for an echo.
func helloOver(c net.Conn) error {
	conn := tls.Client(c, clientTLS())
	_, err := conn.Write([]byte("hello"))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 5))
	}
	return err
}

// slowReader is a Conn whose reads wait.
type slowReader struct {
	net.Conn
	goOn chan struct{}
}

func (c slowReader) Read(p []byte) (int, error) {
	<-c.goOn
	return c.Conn.Read(p)
}

// halfShaken connects a peer that has sent its hello, and reads the answer when goOn is closed. result then gets what comes
// of an echo. It polls until the answer has been sent.
func halfShaken(e *Env, t *session.Engine) (goOn chan struct{}, result <-chan error) {
	a := e.listenTLS(t, echo(), &session.ListenOptions{})
	raw := slowReader{e.rawPeer(a), make(chan struct{})}
	all := make(chan error, 1)
	go func() { all <- helloOver(raw) }()
	before := t.Stats().BytesOut
	e.poll(func() bool { return t.Stats().BytesOut > before }, "the server's hello", t)
	return raw.goOn, all
}

// tlsDrivenLocked begins a handshake in a Poll of a goroutine that is locked to its thread as often as the driver wants,
// and ends it in one of a goroutine that is locked once more.
func tlsDrivenLocked(e *Env) {
	t := e.driven(session.StreamOptions{})
	goOn, result := halfShaken(e, t)
	close(goOn)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e.poll(func() bool { return len(result) > 0 }, "the echo", t)
	require.NoError(e, <-result)
}

// tlsDrivenEnd closes a Transport in the middle of a handshake, on another goroutine than the one that polled it.
func tlsDrivenEnd(e *Env) {
	t := e.driven(session.StreamOptions{})
	goOn, result := halfShaken(e, t)
	closed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		closed <- t.Close()
	}()
	if err := arrives(e, closed); err != nil {
		require.ErrorIs(e, err, backend.ErrThread, "Close on another goroutine")
	}
	close(goOn)
	assert.Error(e, arrives(e, result), "the peer's handshake")
}

// tlsDrivenDeath ends the loop in the middle of a handshake.
func tlsDrivenDeath(e *Env) {
	t := e.driven(session.StreamOptions{})
	var goOn chan struct{}
	var result <-chan error
	over := make(chan bool, 1)
	go func() { // which the loop takes with it
		defer func() { over <- true }()
		h := NewHooks()
		h.Open = func(*session.Stream) { runtime.Goexit() }
		a := e.listenWith(t, h, &session.ListenOptions{})
		goOn, result = halfShaken(e, t)
		e.rawPeer(a)
		for {
			if _, err := t.Poll(time.Millisecond); err != nil {
				return
			}
		}
	}()
	arrives(e, over)
	arrives(e, t.Done())
	assert.ErrorIs(e, t.Err(), backend.ErrGoexit)
	close(goOn)
	assert.Error(e, arrives(e, result), "the peer's handshake")
}
