package wssession_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
	"github.com/tandem-io/tandem/session/wssession"
)

// onEachTransport is onEachBackend, and again on Transports that the test polls.
func onEachTransport(t *testing.T, test func(t *testing.T, tr tandem.Transport)) {
	onEachBackend(t, test)
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String()+"-driven", func(t *testing.T) {
			test(t, openOn(t, &tandem.Options{Backend: b, CallerDriven: true}))
		})
	}
}

// polledServer is a duty cycle with an echo server. Its connections are HTTP at first.
type polledServer struct {
	*polled.Listener
	options  *wssession.ServerOptions
	waiting  []*httpsession.Server
	sessions []*polledEcho
	ended    func(s *wssession.Session, err error) // nil: nobody asks
}

// polledEcho sends what it reads.
type polledEcho struct {
	*wssession.Session
	rest websocket.Message // what was read and not written
}

func newPolledServer(t testing.TB, tr polled.Transport, o *wssession.ServerOptions) *polledServer {
	address := "127.0.0.1:0"
	l, err := polled.Listen(tr, "tcp", address, nil)
	require.NoError(t, err)
	return &polledServer{Listener: l, options: o}
}

// turn is one turn of the duty cycle.
func (p *polledServer) turn(t testing.TB) {
	for {
		s, ok, err := p.Accept()
		require.NoError(t, err)
		if !ok {
			break
		}
		p.waiting = append(p.waiting, httpsession.NewServer(s, nil))
	}
	var waiting []*httpsession.Server
	for _, s := range p.waiting {
		if !p.upgrade(t, s) {
			waiting = append(waiting, s)
		}
	}
	p.waiting = waiting
	var going []*polledEcho
	for _, s := range p.sessions {
		if s.turn(p.ended) {
			going = append(going, s)
		}
	}
	p.sessions = going
}

// turnUntil takes turns until done is closed.
func (p *polledServer) turnUntil(t testing.TB, what string, done <-chan bool) {
	t.Helper()
	until(t, what, func() bool {
		p.turn(t)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// upgrade reports whether s is HTTP no longer.
func (p *polledServer) upgrade(t testing.TB, s *httpsession.Server) bool {
	if _, err := s.Drive(); err != nil {
		return true
	}
	r, status, err := s.Read()
	if err != nil || status != polled.Data {
		return err != nil && s.Status() == polled.Terminated
	}
	ws, err := wssession.Accept(s, r, p.options)
	if err != nil {
		return false
	}
	p.sessions = append(p.sessions, &polledEcho{Session: ws})
	return true
}

// turn reports whether the session goes on.
func (s *polledEcho) turn(ended func(*wssession.Session, error)) bool {
	_, err := s.Drive()
	for err == nil && s.rest.Kind == 0 {
		m, status, readErr := s.Read()
		if err = readErr; err != nil || status != polled.Data {
			break
		}
		var written polled.WriteStatus
		if _, written, err = s.Write(m); err == nil && written == polled.Pending {
			s.rest = m
			s.rest.Data = bytes.Clone(m.Data)
		}
	}
	if err == nil && s.rest.Kind != 0 {
		var written polled.WriteStatus
		if _, written, err = s.Write(s.rest); err != nil || written == polled.Success {
			s.rest = websocket.Message{}
		}
	}
	if s.Status() != polled.Terminated {
		return true
	}
	if ended != nil {
		_, _, err = s.Read()
		ended(s.Session, err)
	}
	_ = s.Close()
	return false
}

// TestAutobahnPolled, of W01, plays the cases against a polled server.
func TestAutobahnPolled(t *testing.T) {
	var cases []sends
	for _, group := range [][]sends{framing(), pings(), reserved(), fragmentation(), characters(), closeHandshake(), miscellaneous()} {
		cases = append(cases, group...)
	}
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := newPolledServer(t, tr, nil)
		address := server.Addr().String()
		done := make(chan bool)
		go func() {
			defer close(done)
			for _, k := range cases {
				p := dialPeer(t, address, "")
				go func() {
					for _, b := range k.pieces {
						p.send(b, k.chop)
					}
				}()
				assert.Equal(t, k.want, p.all(t), k.id)
				_ = p.Close()
			}
		}()
		server.turnUntil(t, "the cases", done)
	})
}

// TestPolledBulk has a few of the large and the compressed cases.
func TestPolledBulk(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		server := newPolledServer(t, tr, &wssession.ServerOptions{Options: wssession.Options{Compression: true}})
		done := make(chan bool)
		go func() {
			defer close(done)
			for _, offer := range []string{"", "permessage-deflate"} {
				for _, k := range []bulk{{"", binaryFrame, 4 << 20, 64 << 10, 0, 2}, {"", text, 1000, 0, 0, 1000}, {"", text, 100 << 10, 0, 0, 20}} {
					if brief() {
						k.size, k.count = min(k.size, 256<<10), min(k.count, 100)
					}
					message := []byte(strings.Repeat("0123456789", k.size/10))
					k.plays(t, dialPeer(t, server.Addr().String(), offer), offer != "", func(int) []byte { return message })
				}
			}
		}()
		server.turnUntil(t, "the messages", done)
	})
}

// asBytes is a Session of bytes: each Write is a message.
type asBytes struct{ *wssession.Session }

func (b asBytes) Read() ([]byte, polled.ReadStatus, error) {
	m, status, err := b.Session.Read()
	return m.Data, status, err
}

func (b asBytes) Write(p []byte) ([]byte, polled.WriteStatus, error) {
	_, status, err := b.Session.Write(websocket.Message{Kind: websocket.Binary, Data: p})
	if err != nil || status == polled.Pending {
		return p, polled.Pending, err
	}
	return nil, status, nil
}

// TestContract has Sessions keep the contract of polled.Session. Its subtests have goroutines of their own, and so do the loops.
func TestContract(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for _, compression := range []bool{false, true} {
			o := wssession.Options{Compression: compression}
			sessiontest.Run(t, func(t *testing.T) (a, b polled.Bytes) {
				server := newPolledServer(t, tr, &wssession.ServerOptions{Options: o})
				t.Cleanup(func() { _ = server.Close() })
				client, err := wssession.ConnectSession(tr, "ws://"+server.Addr().String(), &wssession.DialOptions{Options: o})
				require.NoError(t, err)
				until(t, "the handshake", func() bool {
					if len(server.sessions) == 0 {
						server.turn(t)
					}
					_, err := client.Drive()
					require.NoError(t, err)
					return client.Status() == polled.Established && len(server.sessions) == 1
				})
				require.Equal(t, compression, client.Compressed())
				return asBytes{client}, asBytes{server.sessions[0].Session}
			})
		}
	})
}

// TestPolledClose has either end close, and look at how the other one does.
func TestPolledClose(t *testing.T) { //nolint:funlen // one story, in order
	for _, config := range configs(40) {
		k, tr := world(t, config)
		l, err := polled.Listen(tr, "tcp", "localhost:0", nil)
		require.NoError(t, err)
		server := &polledServer{Listener: l}
		client, err := wssession.ConnectSession(tr, "ws://"+l.Addr().String(), &wssession.DialOptions{Options: wssession.Options{CloseTimeout: time.Minute}})
		require.NoError(t, err)
		k2 := k.Now
		client.Now = func() time.Time { return time.Unix(0, int64(k2())) }
		cycle := func(what string, done func() bool) {
			for range 100_000 {
				if done() {
					return
				}
				_, err := client.Drive()
				require.NoError(t, err)
				server.turn(t)
			}
			require.FailNow(t, "never: "+what)
		}
		cycle("the handshake", func() bool { return client.Status() == polled.Established && len(server.sessions) == 1 })
		var got []string
		for i := range 6 {
			m := websocket.Message{Kind: websocket.Text, Data: []byte(strings.Repeat("x", i*1000)), More: i%2 == 1}
			cycle("a write", func() bool {
				_, status, err := client.Write(m)
				require.NoError(t, err)
				return status == polled.Success
			})
			if m.More {
				m.Data, m.More = []byte("end"), false
				cycle("a write", func() bool {
					_, status, err := client.Write(m)
					require.NoError(t, err)
					return status == polled.Success
				})
			}
			_, err = client.Ping([]byte("hello"))
			require.NoError(t, err)
		}
		read := func() (end error) {
			m, status, err := client.Read()
			if status == polled.Data {
				got = append(got, string(m.Data))
			}
			return err
		}
		cycle("the echo", func() bool { require.NoError(t, read()); return len(got) == 6 })
		var serverEnd error
		server.ended = func(s *wssession.Session, err error) { serverEnd = err; require.NotNil(t, s.PeerClose()) }
		if config.Seed%2 == 0 {
			require.NoError(t, client.CloseWith(4001, "enough"))
			require.ErrorIs(t, client.CloseWith(4001, "enough"), net.ErrClosed)
		} else {
			require.NoError(t, server.sessions[0].CloseWith(4001, "enough"))
		}
		cycle("the end", func() bool { return read() == io.EOF && client.Status() == polled.Terminated && serverEnd != nil })
		require.Equal(t, io.EOF, serverEnd)
		require.EqualValues(t, 4001, client.PeerClose().Code)
		_, _, err = client.Write(websocket.Message{Kind: websocket.Text})
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, client.Close())
		_, _, err = client.Read()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, k.Run(func() bool { return tr.Stats().Streams == 0 }, tr))
		require.NoError(t, tr.Close())
	}
}

// TestPolledAndCalled has a Session talk to a Conn.
func TestPolledAndCalled(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 1)
		address := listen(t, tr, echo{closed: func(_ *wssession.Conn, err error) { ended <- err }}, nil)
		s, err := wssession.ConnectSession(tr, "ws://"+address, nil)
		require.NoError(t, err)
		sent, got := false, ""
		until(t, "the echo", func() bool {
			_, err := s.Drive()
			require.NoError(t, err)
			if !sent {
				_, status, err := s.Write(websocket.Message{Kind: websocket.Text, Data: []byte("hello")})
				require.NoError(t, err)
				sent = status == polled.Success
			}
			m, _, err := s.Read()
			require.NoError(t, err)
			got += string(m.Data)
			return got == "hello"
		})
		require.NoError(t, s.Close())
		closedWith(t, 1000, "", wait(t, "OnClose", ended))
	})
}

// TestSessionFails has handshakes and connections that fail.
func TestSessionFails(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		for name, k := range map[string]struct {
			answer string
			is     func(error) bool
		}{
			"FIN":     {"", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
			"404":     {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", func(err error) bool { return errors.As(err, new(*websocket.HandshakeError)) }},
			"garbage": {"hello\r\n\r\n", func(err error) bool { return errors.Is(err, frame.ErrMalformed) }},
		} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			go func() {
				if c, err := l.Accept(); err == nil {
					_, _ = c.Read(make([]byte, 4096))
					_, _ = io.WriteString(c, k.answer)
					_ = c.Close()
				}
			}()
			s, err := wssession.ConnectSession(tr, "ws://"+l.Addr().String(), nil)
			require.NoError(t, err)
			until(t, name, func() bool { _, err = s.Drive(); return err != nil })
			assert.True(t, k.is(err), "%s: %v", name, err)
			assert.Equal(t, polled.Terminated, s.Status())
			assert.NoError(t, s.Close())
			_ = l.Close()
		}
		for _, url := range []string{"http://a/", "ws://[", "ws:///"} {
			_, err := wssession.ConnectSession(tr, url, nil)
			assert.Error(t, err, url)
		}
	})
}

// TestAcceptRefuses answers a request that is none, and goes on as HTTP.
func TestAcceptRefuses(t *testing.T) {
	a, b := sessiontest.Pair(1 << 20)
	server, client := httpsession.NewServer(a, nil), httpsession.NewClient(b, nil)
	for range 2 {
		q := &http1.Request{Request: &http.Request{Method: "GET", RequestURI: "/", Host: "a"}}
		_, status, err := client.Write(q)
		require.NoError(t, err)
		require.Equal(t, polled.Success, status)
		_, err = client.Drive()
		require.NoError(t, err)
		_, _ = server.Drive()
		r, status2, err := server.Read()
		require.NoError(t, err)
		require.Equal(t, polled.Data, status2)
		_, err = wssession.Accept(server, r, nil)
		var refused *websocket.HandshakeError
		require.ErrorAs(t, err, &refused)
		_, err = wssession.Accept(server, r, nil)
		require.ErrorContains(t, err, "0 requests")
		_, _ = server.Drive()
		_, _ = client.Drive()
		answer, _, err := client.Read()
		require.NoError(t, err)
		require.Equal(t, 426, answer.StatusCode)
	}
}

// TestPolledTimeout closes a session whose peer does not answer.
func TestPolledTimeout(t *testing.T) {
	k, tr := world(t, simulated.Config{})
	l, err := polled.Listen(tr, "tcp", "localhost:0", nil)
	require.NoError(t, err)
	server := &polledServer{Listener: l}
	client, err := wssession.ConnectSession(tr, "ws://"+l.Addr().String(), nil)
	require.NoError(t, err)
	client.Now = func() time.Time { return time.Unix(0, int64(k.Now())) }
	for client.Status() != polled.Established {
		_, err := client.Drive()
		require.NoError(t, err)
		server.turn(t)
	}
	require.NoError(t, client.CloseWith(1000, ""))
	begin := k.Now()
	for client.Status() != polled.Terminated {
		_, err := tr.Poll(time.Second)
		require.NoError(t, err)
		_, err = client.Drive()
		require.NoError(t, err)
	}
	_, _, err = client.Read()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.InDelta(t, 5, (k.Now() - begin).Seconds(), 2)
	require.NoError(t, tr.Close())
}
