package backendtest

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// The rules on peers that know TLS, and use it against a stream; and on functions of a Config that fail late.
var tlsHostileRules = []Rule{
	{"T02_PeersThatLeaveWhileTheyWait", tlsLeaveWaiting},
	{"T03_KeyUpdateBehindFIN", tlsKeyUpdateBehindFIN},
	{"T03_KeyUpdatesWithoutReading", tlsKeyUpdateFlood},
	{"T03_UselessRecords", tlsUseless},
	{"T03_PanicsBehindTheHandshake", tlsLatePanics},
}

// tlsLeaveWaiting has peers say hello, and leave while others are before them. Who stays has its turn.
func tlsLeaveWaiting(e *Env) {
	t := e.Open(func(o *Options) { o.Handshakes, o.Loops = 1, 1 })
	server, release := serverTLS(), make(chan struct{})
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		<-release
		return nil, nil
	}
	a := e.listenTLS(t, echo(), &session.ListenOptions{TLS: server})
	var leaving []net.Conn
	says := func() *tls.Conn {
		n := t.Stats().Streams
		c := tls.Client(e.rawPeer(a), clientTLS())
		go func() { _ = c.Handshake() }()
		e.Eventually(func() bool { return t.Stats().Streams > n }, "a connection")
		return c
	}
	stays := []*tls.Conn{says()}
	for i := range 40 {
		if i%10 == 5 {
			stays = append(stays, says())
			continue
		}
		leaving = append(leaving, says().NetConn())
	}
	e.Eventually(func() bool { return t.Stats().TLSOverhead > 0 }, "the first hello")
	for _, c := range leaving {
		require.NoError(e, plainPeer{c.(halfCloser)}.Reset())
	}
	close(release)
	for _, c := range stays {
		e.echoes(c, 1000)
	}
	e.Eventually(func() bool { return t.Stats().Streams == len(stays) }, "the end of those that left")
}

// tlsKeyUpdateBehindFIN has a peer ask for a new key when the stream has sent its FIN, behind which no answer can be sent.
// The peer's bytes go on.
func tlsKeyUpdateBehindFIN(e *Env) {
	h := NewHooks()
	h.Open = func(s *session.Stream) { assert.NoError(e, s.CloseWrite()) }
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	f := e.forge(a)
	_, err := f.Read(make([]byte, 1))
	require.Equal(e, io.EOF, err, "close_notify")
	_, err = f.raw.Read(make([]byte, 1))
	require.Equal(e, io.EOF, err, "FIN")
	for range 3 {
		f.send(f.keyUpdate(1), f.record(dataRecord, []byte("more")...))
	}
	e.Eventually(func() bool { return string(h.Got()) == "moremoremore" }, "what is behind key updates")
	f.send(f.record(alertRecord, 1, 0))
	h.closedWith(nil)
}

// tlsKeyUpdateFlood has a peer ask for new keys, and read none of the answers. With ReadWhileBlocked nothing else stops it.
//
// Where both ends send more than the other has room for, the kernels may drop what brings acknowledgements, and wait longer
// and longer before they try again. Such a connection says nothing, and there are three.
func tlsKeyUpdateFlood(e *Env) {
	for _, blocks := range []bool{true, false} {
		for attempt := 1; !e.keyUpdateFlood(blocks); attempt++ {
			require.Less(e, attempt, 3, "streams whose peers take no answers go on, and get no data (blocking: %v)", blocks)
		}
	}
}

// keyUpdateFlood is one connection. It reports whether the stream was stopped, and false if no data comes any longer.
func (e *Env) keyUpdateFlood(blocks bool) (stopped bool) {
	const slack = 200 << 10
	h := NewHooks()
	var queued atomic.Int64
	h.Data = func(s *session.Stream) {
		_, _ = s.Discard(-1)
		queued.Store(max(queued.Load(), int64(s.Queued())))
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{
		Socket:        []backend.SocketOption{backend.SendBuffer(16 << 10)},
		StreamOptions: session.StreamOptions{ReadWhileBlocked: !blocks, HighWater: 4 << 10},
	})
	f := e.forge(a)
	s, ended := h.Opened(), f.flood()
	over := func() bool { return !s.Writable() }
	if !blocks {
		over = func() bool { return len(h.closed) > 0 }
	}
	if stopped = e.isDone(h, over); !stopped || blocks {
		require.NoError(e, f.raw.Close())
		require.Error(e, h.Closed())
	} else {
		err := h.Closed()
		require.ErrorIs(e, err, session.ErrWriteBufferFull)
		e.opError(err, "read", e.Network)
	}
	arrives(e, ended)
	assert.Less(e, queued.Load(), int64(slack), "bytes of answers")
	return stopped
}

// flood asks for new keys, with a byte of data behind each few, until the connection fails.
func (f *forger) flood() (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		for range 200_000 / 16 {
			var all [][]byte
			for range 15 {
				all = append(all, f.keyUpdate(1))
			}
			if _, err := f.raw.Write(bytes.Join(append(all, f.record(dataRecord, 'x')), nil)); err != nil {
				return
			}
		}
	}()
	return ended
}

// isDone waits until done, for as long as streams of h get data: cryptography takes its time on a busy machine.
func (e *Env) isDone(h *Hooks, done func() bool) bool {
	for seen := -1; ; {
		if waitFor(done) {
			return true
		}
		n := h.Count("OnData")
		if n <= seen {
			return false
		}
		seen = n
	}
}

// tlsUseless has peers send records that say nothing. Some are allowed, many are not.
func tlsUseless(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	for name, useless := range map[string]func(*forger) []byte{
		"empty records": func(f *forger) []byte { return f.record(dataRecord) },
		"user_canceled": func(f *forger) []byte { return f.record(alertRecord, 1, 90) },
		"key updates":   func(f *forger) []byte { return f.keyUpdate(0) },
		"old ciphers":   func(*forger) []byte { return []byte{20, 3, 3, 0, 1, 1} },
	} {
		f := e.forge(a)
		for range 5 {
			f.send(useless(f), useless(f), f.record(dataRecord, 'x'))
			_, err := io.ReadFull(f, make([]byte, 1))
			require.NoError(e, err, name)
		}
		for range 40 {
			f.send(useless(f))
		}
		require.ErrorContains(e, h.Closed(), "too many", name)
	}
}

// tlsLatePanics has a source of random bytes that panics when the handshake is done: as what was written before is
// encrypted, and as close_notify is.
func tlsLatePanics(e *Env) {
	server, told := recordsFrom(panicsLate{}), make(chan error, 1)
	ends := map[string]func(*session.Stream){
		"early write": func(s *session.Stream) {
			assert.NoError(e, s.WriteNotify([]byte("early"), func(err error) { told <- err }))
		},
		"close_notify": func(s *session.Stream) { assert.NoError(e, s.Close()) },
	}
	for name, end := range ends {
		h := NewHooks()
		h.env(e)
		started := false
		h.Data = func(s *session.Stream) {
			if !started {
				started = true
				_, _ = s.Next(len("TLS"))
				assert.NoError(e, s.StartTLS(server, true), name)
				if name == "early write" {
					end(s)
				}
				return
			}
			_, _ = s.Next(-1)
			end(s)
		}
		l, err := e.Under().Listen(e.Network, e.Address(), h, nil)
		require.NoError(e, err)
		raw := e.rawPeer(l.Addr())
		_, err = raw.Write([]byte("TLS"))
		require.NoError(e, err)
		c := tls.Client(raw, clientTLS())
		go func() { _, _ = c.Write([]byte("x")) }()
		var p *session.PanicError
		require.ErrorAs(e, h.Closed(), &p, name)
		if name == "early write" {
			require.ErrorAs(e, arrives(e, told), &p, "WriteNotify")
		}
		require.NoError(e, l.Close())
	}
	e.echoes(e.tlsPeer(e.listenTLS(e.Under(), echo(), &session.ListenOptions{}), clientTLS()), 1000)
}

// panicsLate is a source of random bytes for a handshake alone.
type panicsLate struct{}

func (panicsLate) Read(p []byte) (int, error) {
	if !bytes.Contains(debug.Stack(), []byte("HandshakeContext")) {
		panic(errors.New("mine"))
	}
	return rand.Read(p)
}
