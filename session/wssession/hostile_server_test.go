package wssession_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/wssession"
)

// sendingServer answers one client with 101, fields and frames, and returns what the client sends until it finishes.
func sendingServer(t *testing.T, fields, frames string) (url string, got <-chan string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	all := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		p := make([]byte, 4096)
		n, _ := c.Read(p)
		_, key, _ := strings.Cut(string(p[:n]), "Sec-Websocket-Key: ")
		key, _, _ = strings.Cut(key, "\r\n")
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept(key)+"\r\n"+fields+"\r\n"+frames)
		_ = c.(*net.TCPConn).CloseWrite()
		rest, _ := io.ReadAll(c)
		all <- string(rest)
	}()
	return "ws://" + l.Addr().String(), all
}

// TestHostileServer, of W01, sends frames that a client refuses, and behind the same bytes as the handshake.
func TestHostileServer(t *testing.T) {
	for name, k := range map[string]struct {
		frames string
		is     error
		code   websocket.StatusCode
	}{
		"a mask":                     {string(whole(text, "hello")), frame.ErrMalformed, 1002},
		"compressed, and not agreed": {"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", frame.ErrMalformed, 1002},
		"a reserved bit":             {"\xa1\x00", frame.ErrMalformed, 1002},
		"a reserved opcode":          {"\x83\x00", frame.ErrMalformed, 1002},
		"no first fragment":          {"\x80\x00", frame.ErrMalformed, 1002},
		"two first fragments":        {"\x01\x00\x01\x00", frame.ErrMalformed, 1002},
		"a Ping in fragments":        {"\x09\x00", frame.ErrMalformed, 1002},
		"a Ping that is too large":   {"\x89\x7e\x00\x7e", frame.ErrMalformed, 1002},
		"a length of 2^63":           {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", frame.ErrMalformed, 1002},
		"a length of 2^62":           {"\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00", frame.ErrTooLarge, 1009},
		"no UTF-8 in two fragments":  {"\x01\x01\xce\x89\x00\x80\x01x", websocket.ErrInvalidData, 1007},
		"a Close of one byte":        {"\x88\x01\x03", frame.ErrMalformed, 1002},
		"a Close with 1005":          {"\x88\x02\x03\xed", frame.ErrMalformed, 1002},
		"a Close without UTF-8":      {"\x88\x03\x03\xe8\xff", websocket.ErrInvalidData, 1007},
		"the end in a frame":         {"\x81\x05hel", io.ErrUnexpectedEOF, 0},
		"the end in a message":       {"\x01\x03hel", io.ErrUnexpectedEOF, 0},
	} {
		t.Run(name, func(t *testing.T) {
			onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
				url, got := sendingServer(t, "", k.frames)
				closed := make(chan error, 1)
				_, err := wssession.Connect(tr, url, &hooks{close: func(_ *wssession.Conn, err error) { closed <- err }}, nil)
				require.NoError(t, err)
				assert.ErrorIs(t, wait(t, "OnClose", closed), k.is)
				closes := closesIn(wait(t, "the client's end", got))
				assert.True(t, k.code == 0 && len(closes) == 0 || len(closes) == 1 && closes[0] == k.code, "%v", closes)

				url, got = sendingServer(t, "", k.frames)
				s, err := wssession.ConnectSession(tr, url, nil)
				require.NoError(t, err)
				until(t, "the end", func() bool {
					_, _ = s.Drive()
					_, _, err = s.Read()
					return err != nil
				})
				assert.ErrorIs(t, err, k.is)
				for range 100 {
					_, _ = s.Drive()
				}
				require.NoError(t, s.Close())
				closes = closesIn(wait(t, "the end of the Session", got))
				assert.True(t, k.code == 0 && len(closes) == 0 || len(closes) == 1 && closes[0] == k.code, "%v", closes)
			})
		})
	}
}

// closesIn finds the codes of the Closes among a client's frames.
func closesIn(frames string) (codes []websocket.StatusCode) {
	c := websocket.Codec{}
	d, a, p := c.NewDecoder(), websocket.NewAssembler(c), []byte(frames)
	for len(p) > 0 {
		f, n, _, err := d.Decode(p)
		if err != nil || n == 0 {
			return append(codes, 0) // never
		}
		p = p[n:]
		if m, ok, _ := a.Add(f); ok && m.Kind == websocket.Close {
			closed, _ := websocket.ParseClose(m.Data)
			codes = append(codes, closed.Code)
		}
	}
	return codes
}

// TestResponsesOfHostileServers agree to what was not offered.
func TestResponsesOfHostileServers(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for _, fields := range []string{
			"Sec-WebSocket-Protocol: other\r\n", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Protocol: \r\n",
			"Sec-WebSocket-Extensions: permessage-deflate\r\n", "Sec-WebSocket-Extensions: a b\r\n",
			"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=15\r\n",
			"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover, permessage-deflate\r\n",
			"Sec-WebSocket-Accept: x\r\n",
		} {
			url, _ := sendingServer(t, fields, "")
			o := &wssession.DialOptions{Options: wssession.Options{Compression: true, Subprotocols: []string{"chat"}}}
			_, err := wssession.Dial(t.Context(), tr, url, &hooks{}, o)
			var refused *websocket.HandshakeError
			assert.ErrorAs(t, err, &refused, fields)
		}
		for _, fields := range []string{
			"", "Sec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
			"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"8\"; server_no_context_takeover; client_no_context_takeover\r\n",
		} {
			url, _ := sendingServer(t, fields, "")
			o := &wssession.DialOptions{Options: wssession.Options{Compression: true, Subprotocols: []string{"chat"}}}
			_, err := wssession.Dial(t.Context(), tr, url, &hooks{}, o)
			assert.NoError(t, err, fields)
		}
	})
}

// TestAllEndsAtOnce has both ends close, the peer go, a handler panic and the Transport shut down, in all combinations.
func TestAllEndsAtOnce(t *testing.T) {
	onEachBackend(t, func(t *testing.T, _ tandem.Transport) {
		backend := tandem.Epoll
		if strings.HasSuffix(t.Name(), "uring") {
			backend = tandem.Uring
		}
		for round := range 1 << 5 {
			tr := openOn(t, &tandem.Options{Backend: backend, Loops: 1})
			opens, closes := atomic.Int64{}, atomic.Int64{}
			conns, ended := make(chan *wssession.Conn, 1), make(chan error, 1)
			address := listen(t, tr, &hooks{
				open:    func(c *wssession.Conn) { opens.Add(1); conns <- c },
				message: func(*wssession.Conn, websocket.Message) { panic("no") },
				close:   func(_ *wssession.Conn, err error) { closes.Add(1); ended <- err },
			}, &wssession.ServerOptions{Options: wssession.Options{Compression: true}})
			p := dialPeer(t, address, "permessage-deflate")
			c := wait(t, "OnOpen", conns)
			var all sync.WaitGroup
			begin := make(chan bool)
			for i, end := range []func(){
				func() { _ = c.CloseWith(4000, "enough") },
				func() { p.send(ends, 0) },
				func() { p.send(whole(text, "panic"), 0) },
				func() { _ = p.CloseWrite() },
				func() { _ = c.WriteText([]byte(strings.Repeat("x", 1000))); _ = c.Ping(nil) },
			} {
				if round&(1<<i) != 0 {
					all.Go(func() { <-begin; end() })
				}
			}
			all.Go(func() { <-begin; assert.NoError(t, tr.Shutdown(context.Background())) })
			close(begin)
			go answers(p)
			all.Wait()
			_ = wait(t, "OnClose", ended)
			require.EqualValues(t, 1, opens.Load())
			require.EqualValues(t, 1, closes.Load())
			_ = p.Close()
		}
	})
}

// answers answers a Close, and counts on none to follow it.
func answers(p *peer) {
	for {
		g, err := p.next()
		if err != nil {
			return
		}
		if g.opcode == closes {
			p.send(ends, 0)
			_ = p.CloseWrite()
		}
	}
}
