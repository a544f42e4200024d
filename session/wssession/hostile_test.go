package wssession_test

import (
	"bufio"
	"context"
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
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// openingBytes is what a client sends, all at once.
type openingBytes struct {
	sent   string
	status []int
	frames []string // behind 101
}

// allOpeningBytes are requests with something in front of them, in them and behind them.
func allOpeningBytes() map[string]openingBytes {
	messages := string(whole(text, "hello")) + string(ends)
	return map[string]openingBytes{
		"frames behind it":            {askWhole + "\r\n" + messages, []int{101}, []string{"text hello", ended}},
		"a request in front of it":    {"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n" + askWhole + "\r\n" + messages, []int{426, 101}, []string{"text hello", ended}},
		"a request behind it":         {askWhole + "\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n", []int{101}, []string{"close 1002"}},
		"a body":                      {askWhole + "Content-Length: 3\r\n\r\nabc" + messages, []int{101}, []string{"text hello", ended}},
		"a body in chunks":            {askWhole + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + messages, []int{101}, []string{"text hello", ended}},
		"a refusal, and another try":  {askLine + askHost + askRest + "\r\n" + askWhole + "\r\n" + messages, []int{400, 101}, []string{"text hello", ended}},
		"no Host":                     {askLine + askKey + askRest + "\r\n", []int{400}, nil},
		"two Hosts":                   {askWhole + askHost + "\r\n", []int{400}, nil},
		"two keys":                    {askWhole + askKey + "Connection: close\r\n\r\n", []int{400}, nil},
		"HTTP/1.0":                    {"GET / HTTP/1.0\r\n" + askHost + askKey + askRest + "\r\n", []int{426}, nil},
		"extensions without grammar":  {askWhole + "Sec-WebSocket-Extensions: a b\r\nConnection: close\r\n\r\n", []int{400}, nil},
		"a frame without a mask":      {askWhole + "\r\n\x81\x05hello", []int{101}, []string{"close 1002"}},
		"half a frame, and the end":   {askWhole + "\r\n\x81", []int{101}, nil},
		"a length of 2^63":            {askWhole + "\r\n\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", []int{101}, []string{"close 1002"}},
		"a length of 2^62":            {askWhole + "\r\n\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00mask", []int{101}, []string{"close 1009"}},
		"a control frame of 64 bits":  {askWhole + "\r\n\x89\xff\x00\x00\x00\x00\x00\x00\x00\x01mask", []int{101}, []string{"close 1002"}},
		"a length in too many bytes":  {askWhole + "\r\n\x82\xfe\x00\x05abcdhello", []int{101}, []string{"close 1002"}},
		"compressed, and not agreed":  {askWhole + "\r\n" + string(wire(text, true, 4, deflated([]byte("hello")))), []int{101}, []string{"close 1002"}},
		"a Close amid a message":      {askWhole + "\r\n" + string(wire(text, false, 0, []byte("h"))) + string(ends), []int{101}, []string{ended}},
		"a Ping amid a message":       {askWhole + "\r\n" + strings.Join(asStrings([][]byte{wire(text, false, 0, []byte("\xce")), whole(ping, "p"), wire(continuation, true, 0, []byte("\xba")), ends}), ""), []int{101}, []string{"pong p", "text κ", ended}},
		"no UTF-8 over two fragments": {askWhole + "\r\n" + strings.Join(asStrings(fragments(text, "\xce", "x")), ""), []int{101}, []string{"close 1007"}},
	}
}

// plays sends the bytes and FIN, and reads what comes back.
func (o openingBytes) plays(t *testing.T, address string) {
	c, err := net.DialTimeout("tcp", address, patience)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, o.sent)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	r := bufio.NewReader(c)
	var status []int
	for range o.status {
		answer, err := http.ReadResponse(r, &http.Request{Method: "GET"})
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, answer.Body)
		status = append(status, answer.StatusCode)
	}
	assert.Equal(t, o.status, status)
	p := &peer{Conn: c, r: r}
	assert.Equal(t, o.frames, p.all(t))
}

// TestOpeningBytes, of W01, has Conns and Sessions answer them.
func TestOpeningBytes(t *testing.T) {
	for name, k := range allOpeningBytes() {
		t.Run(name, func(t *testing.T) {
			onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
				k.plays(t, listen(t, tr, echo{}, nil))
				server := newPolledServer(t, tr, nil)
				done := make(chan bool)
				go func() {
					defer close(done)
					k.plays(t, server.Addr().String())
				}()
				server.turnUntil(t, "the peer's end", done)
			})
		})
	}
}

// TestPanicInOnOpen ends a Dial, and a connection although somebody recovers the panic.
func TestPanicInOnOpen(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		closed := make(chan error, 2)
		panics := &hooks{open: func(*wssession.Conn) { panic("no") }, close: func(_ *wssession.Conn, err error) { closed <- err }}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var panicked *tandem.PanicError
		_, err := wssession.Dial(ctx, tr, "ws://"+listen(t, tr, echo{}, nil), panics, nil)
		require.NoError(t, err, "as Dial of a Transport")
		require.ErrorAs(t, wait(t, "OnClose of the client", closed), &panicked)

		site := wssession.Serve(panics, &wssession.ServerOptions{Options: wssession.Options{CloseTimeout: 30 * time.Millisecond}})
		recovers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			site.ServeHTTP(w, r)
		})
		p := dialPeer(t, strings.TrimPrefix(serve(t, tr, recovers, nil), "http://"), "")
		assert.Equal(t, []string{"close 1011"}, p.all(t))
		require.ErrorIs(t, wait(t, "OnClose of the server", closed), os.ErrDeadlineExceeded)
	})
}

// TestContextEndsInOnOpen has the context of a Dial end when the connection is open: it stays so.
func TestContextEndsInOnOpen(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ctx, cancel := context.WithCancel(t.Context())
		echoed := make(chan string, 1)
		h := &hooks{open: func(*wssession.Conn) {
			cancel()
			time.Sleep(20 * time.Millisecond) // for Dial to see it
		}, message: func(_ *wssession.Conn, m websocket.Message) { echoed <- string(m.Data) }}
		c, err := wssession.Dial(ctx, tr, "ws://"+listen(t, tr, echo{}, nil), h, nil)
		require.NoError(t, err)
		require.NoError(t, c.WriteText([]byte("alive")))
		require.Equal(t, "alive", wait(t, "the echo", echoed))
	})
}

// TestContextEndsBeforeTheLoop has the context of a Dial end while its loop is busy.
func TestContextEndsBeforeTheLoop(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := openOn(t, &tandem.Options{Backend: b, Loops: 1})
			address := listen(t, tr, echo{}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			busy, free, result := make(chan bool), make(chan bool), make(chan error, 1)
			blocks := httpsession.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				close(busy)
				<-free
			}), nil)
			l, err := tr.Listen("tcp", "127.0.0.1:0", blocks, nil)
			require.NoError(t, err)
			go func() {
				_, err := wssession.Dial(ctx, tr, "ws://"+l.Addr().String(), &hooks{open: func(*wssession.Conn) { assert.Fail(t, "opened") }}, nil)
				result <- err
			}()
			wait(t, "the handler", busy)
			cancel()
			require.ErrorIs(t, wait(t, "the result of Dial", result), context.Canceled)
			close(free)
			p := dialPeer(t, address, "")
			p.send(ends, 0)
			require.Equal(t, []string{ended}, p.all(t))
		})
	}
}

// TestBeforeOnOpen uses a Conn from other goroutines while it shakes hands.
func TestBeforeOnOpen(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		o := wssession.Options{Compression: true, CompressionThreshold: 1}
		address := listen(t, tr, echo{}, &wssession.ServerOptions{Options: o})
		for range 20 {
			opened := make(chan bool, 1)
			c, err := wssession.Connect(tr, "ws://"+address, &hooks{open: func(*wssession.Conn) { opened <- true }}, &wssession.DialOptions{Options: o})
			require.NoError(t, err)
			for c.WriteText([]byte("hello, hello, hello, hello")) != nil {
				_ = c.Ping(nil)
			}
			wait(t, "OnOpen", opened)
			require.NoError(t, c.Close())
		}
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer silent.Close()
		closed := make(chan error, 1)
		c, err := wssession.Connect(tr, "ws://"+silent.Addr().String(), &hooks{close: func(_ *wssession.Conn, err error) { closed <- err }}, nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.ErrorIs(t, wait(t, "OnClose", closed), net.ErrClosed)
	})
}

// TestPingFlood, of W01, pings a Session whose peer does not read: few answers wait, and the last ping has one.
func TestPingFlood(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		server := newPolledServer(t, tr, nil)
		p := dialPolled(t, server.Addr().String(), "", func() { server.turn(t) })
		s := server.sessions[0]
		require.NoError(t, p.SetReadDeadline(time.Time{}))
		for full := 0; full < 30; { // the buffers between both ends
			_, status, err := s.Write(websocket.Message{Kind: websocket.Binary, Data: make([]byte, 32<<10)})
			require.NoError(t, err)
			if full++; status == polled.Success {
				full = 0
			}
			_, err = s.Drive()
			require.NoError(t, err)
			time.Sleep(time.Millisecond) // for the kernel to move what it still has room for
		}
		pings := []byte(strings.Repeat(string(whole(ping, "a ping of a peer that does not read")), 20_000))
		pings = append(pings, whole(ping, "last")...)
		sent, before := make(chan bool), tr.Stats().BytesIn
		go func() {
			defer close(sent)
			_, _ = p.Write(pings)
		}()
		until(t, "the pings are read", func() bool {
			server.turn(t)
			return tr.Stats().BytesIn-before == uint64(len(pings))
		})
		for range 1000 { // 64 of them in each
			server.turn(t)
		}
		wait(t, "the end of the sending", sent)
		r := &peer{Conn: p.Conn, r: bufio.NewReader(p.Conn)}
		pongs := 0
		last := make(chan bool)
		go func() {
			defer close(last)
			for {
				g, err := r.next()
				if !assert.NoError(t, err) || g.String() == "pong last" {
					return
				}
				if g.opcode == pong {
					pongs++
				}
			}
		}()
		server.turnUntil(t, "the last pong", last)
		assert.Less(t, pongs, 5000, "answers to 20,000 pings: about a hundred, and as many each time the kernel finds some room")
	})
}

// TestMiddlewareAndHandshake has a field of the handshake set by somebody else.
func TestMiddlewareAndHandshake(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		site := wssession.Serve(echo{}, nil)
		sets := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Sec-WebSocket-Protocol", "chat")
			w.Header().Set("Sec-WebSocket-Extensions", "permessage-deflate")
			w.Header().Set("X-Frame-Options", "DENY")
			site.ServeHTTP(w, r)
		})
		p := dialPeer(t, strings.TrimPrefix(serve(t, tr, sets, nil), "http://"), "")
		assert.Empty(t, p.answer.Header["Sec-Websocket-Protocol"])
		assert.Empty(t, p.answer.Header["Sec-Websocket-Extensions"])
		assert.Equal(t, "DENY", p.answer.Header.Get("X-Frame-Options"))
	})
}

// TestOptionsAreCopied changes them later.
func TestOptionsAreCopied(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		o := &wssession.ServerOptions{Options: wssession.Options{Subprotocols: []string{"chat"}}, Header: http.Header{"X": {"y"}}}
		address := listen(t, tr, echo{}, o)
		o.Subprotocols[0] = "other"
		o.Header.Set("X", "z")
		p := dialPeer(t, address, "x\r\nSec-WebSocket-Protocol: chat")
		assert.Equal(t, "chat", p.answer.Header.Get("Sec-WebSocket-Protocol"))
		assert.Equal(t, "y", p.answer.Header.Get("X"))
	})
}
