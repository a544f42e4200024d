package wssession_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/wssession"
)

// hooks is a Handler of functions; those that are nil do nothing.
type hooks struct {
	open    func(c *wssession.Conn)
	message func(c *wssession.Conn, m websocket.Message)
	pong    func(c *wssession.Conn, p []byte)
	close   func(c *wssession.Conn, err error)
}

func (h *hooks) OnOpen(c *wssession.Conn) {
	if h.open != nil {
		h.open(c)
	}
}

func (h *hooks) OnMessage(c *wssession.Conn, m websocket.Message) {
	if h.message != nil {
		h.message(c, m)
	}
}

func (h *hooks) OnPong(c *wssession.Conn, p []byte) {
	if h.pong != nil {
		h.pong(c, p)
	}
}

func (h *hooks) OnClose(c *wssession.Conn, err error) {
	if h.close != nil {
		h.close(c, err)
	}
}

// wait receives from a channel.
func wait[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(t, "not in time: "+what)
	}
	return v
}

// closedWith asserts that err is the peer's Close.
func closedWith(t testing.TB, code websocket.StatusCode, reason string, err error) {
	t.Helper()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, websocket.CloseError{Code: code, Reason: reason}, *closed)
}

// TestConns has clients talk to an echo server, with and without compression, from several goroutines each.
func TestConns(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for _, compression := range []bool{false, true} {
			ended := make(chan error, 10)
			o := wssession.Options{Compression: compression, Subprotocols: []string{"other", "chat"}}
			address := listen(t, tr, echo{closed: func(c *wssession.Conn, err error) {
				assert.Equal(t, "chat", c.Subprotocol())
				assert.Equal(t, compression, c.Compressed())
				ended <- err
			}}, &wssession.ServerOptions{Options: o})
			talk(t, tr, address, o, ended)
		}
	})
}

func talk(t *testing.T, tr tandem.Transport, address string, o wssession.Options, ended chan error) {
	const writers, messages = 4, 200
	var last [writers]int
	count, done, closed := 0, make(chan bool), make(chan error, 1)
	h := &hooks{close: func(_ *wssession.Conn, err error) { closed <- err }}
	h.message = func(_ *wssession.Conn, m websocket.Message) {
		var who, number int
		_, err := fmt.Sscanf(string(m.Data), "%d %d", &who, &number)
		assert.NoError(t, err)
		assert.Equal(t, last[who], number, "messages of one goroutine stay in order")
		assert.Equal(t, who%2 == 0, m.Kind == websocket.Text)
		assert.Equal(t, number*7%3000, strings.Count(string(m.Data), "x"))
		last[who]++
		if count++; count == writers*messages {
			close(done)
		}
	}
	o.Subprotocols = []string{"chat"}
	c, err := wssession.Dial(t.Context(), tr, "ws://"+address+"/", h, &wssession.DialOptions{Options: o})
	require.NoError(t, err)
	var all sync.WaitGroup
	for who := range writers {
		all.Go(func() {
			for number := range messages {
				p := []byte(fmt.Sprintf("%d %d ", who, number) + strings.Repeat("x", number*7%3000))
				write := c.WriteText
				if who%2 == 1 {
					write = c.WriteBinary
				}
				assert.NoError(t, write(p))
			}
		})
	}
	all.Wait()
	wait(t, "the echo", done)
	require.NoError(t, c.CloseWith(4000, "enough"))
	require.ErrorIs(t, c.WriteText(nil), net.ErrClosed)
	require.ErrorIs(t, c.Ping(nil), net.ErrClosed)
	require.ErrorIs(t, c.Close(), net.ErrClosed)
	closedWith(t, 4000, "enough", wait(t, "the server's end", ended))
	closedWith(t, 4000, "", wait(t, "the client's end", closed))
}

// TestServerCloses has the server close, and the client answer.
func TestServerCloses(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ends := make(chan error, 2)
		tell := func(_ *wssession.Conn, err error) { ends <- err }
		address := listen(t, tr, &hooks{close: tell, open: func(c *wssession.Conn) {
			assert.NoError(t, c.WriteText([]byte("bye")))
			assert.Error(t, c.CloseWith(1006, ""))
			assert.Error(t, c.CloseWith(1000, strings.Repeat("x", 124)))
			assert.NoError(t, c.CloseWith(1001, "going"))
		}}, nil)
		got := make(chan string, 1)
		_, err := wssession.Connect(tr, "ws://"+address, &hooks{close: tell, message: func(_ *wssession.Conn, m websocket.Message) { got <- string(m.Data) }}, nil)
		require.NoError(t, err)
		require.Equal(t, "bye", wait(t, "the message", got))
		for range 2 {
			err := wait(t, "an end", ends)
			assert.Equal(t, websocket.StatusGoingAway, websocket.CodeOf(err), "%v", err)
		}
	})
}

func TestDialFails(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		mux := http.NewServeMux()
		mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "no WebSocket") })
		mux.Handle("/ws", wssession.Serve(&hooks{}, nil))
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(mux, nil), nil)
		require.NoError(t, err)
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer silent.Close()
		nobody := &hooks{open: func(*wssession.Conn) { assert.Fail(t, "opened") }}
		brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		var refused *websocket.HandshakeError
		for name, k := range map[string]struct {
			ctx context.Context
			url string
			o   wssession.DialOptions
			is  func(error) bool
		}{
			"404":      {t.Context(), "ws://" + l.Addr().String() + "/none", wssession.DialOptions{}, func(err error) bool { return errors.As(err, &refused) && refused.Status == 404 }},
			"200":      {t.Context(), "ws://" + l.Addr().String() + "/plain", wssession.DialOptions{}, func(err error) bool { return errors.As(err, &refused) && refused.Status == 200 }},
			"403":      {t.Context(), "ws://" + l.Addr().String() + "/ws", wssession.DialOptions{Header: http.Header{"Origin": {"http://evil"}}}, func(err error) bool { return errors.As(err, &refused) && refused.Status == 403 }},
			"refused":  {t.Context(), "ws://127.0.0.1:1/", wssession.DialOptions{}, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
			"silence":  {t.Context(), "ws://" + silent.Addr().String(), wssession.DialOptions{HandshakeTimeout: 20 * time.Millisecond}, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
			"context":  {brief, "ws://" + silent.Addr().String(), wssession.DialOptions{}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
			"a scheme": {t.Context(), "http://a/", wssession.DialOptions{}, func(err error) bool { return err != nil }},
			"a URL":    {t.Context(), "ws://[", wssession.DialOptions{}, func(err error) bool { return err != nil }},
		} {
			_, err := wssession.Dial(k.ctx, tr, k.url, nobody, &k.o)
			assert.True(t, k.is(err), "%s: %v", name, err)
		}
		failed := make(chan error, 1)
		c, err := wssession.Connect(tr, "ws://"+l.Addr().String()+"/none", &hooks{close: func(_ *wssession.Conn, err error) { failed <- err }}, nil)
		require.NoError(t, err)
		require.ErrorAs(t, wait(t, "OnClose", failed), &refused)
		require.ErrorIs(t, c.WriteText(nil), syscall.ENOTCONN)
		until(t, "no stream is left", func() bool { return tr.Stats().Streams == 0 })
	})
}

// TestDialInACallback is an error, and no deadlock; Connect works.
func TestDialInACallback(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		result, opened := make(chan error, 1), make(chan bool, 2)
		h := &hooks{open: func(*wssession.Conn) { opened <- true }}
		h.message = func(c *wssession.Conn, _ websocket.Message) {
			url := "ws://" + c.Stream().LocalAddr().String()
			_, err := wssession.Connect(tr, url, &hooks{open: func(*wssession.Conn) { opened <- true }}, nil)
			assert.NoError(t, err)
			_, err = wssession.Dial(context.Background(), tr, url, &hooks{}, &wssession.DialOptions{Stream: &tandem.DialOptions{SameLoop: c.Stream()}})
			result <- err
		}
		address := listen(t, tr, h, nil)
		p := dialPeer(t, address, "")
		wait(t, "the server's OnOpen", opened)
		p.send(whole(text, "now"), 0)
		require.Error(t, wait(t, "the result of Dial", result))
		wait(t, "the client's OnOpen", opened)
	})
}

func TestPanicIs1011(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 1)
		address := listen(t, tr, &hooks{
			message: func(*wssession.Conn, websocket.Message) { panic("no") },
			close:   func(_ *wssession.Conn, err error) { ended <- err },
		}, nil)
		p := dialPeer(t, address, "")
		p.send(whole(text, "x"), 0)
		g, err := p.next()
		require.NoError(t, err)
		require.Equal(t, "close 1011", g.String())
		var panicked *tandem.PanicError
		require.ErrorAs(t, wait(t, "OnClose", ended), &panicked)
	})
}

// TestEnds has ends other than those of a handshake.
func TestEnds(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for name, k := range map[string]struct {
			peer func(p *peer)
			is   error
			all  []string
		}{
			"FIN":             {func(p *peer) { _ = p.Conn.(*net.TCPConn).CloseWrite() }, io.ErrUnexpectedEOF, nil},
			"FIN in a frame":  {func(p *peer) { p.send(whole(text, "hello")[:7], 0); _ = p.Conn.(*net.TCPConn).CloseWrite() }, io.ErrUnexpectedEOF, nil},
			"too large":       {func(p *peer) { p.send([]byte{0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1}, 0); p.send(make([]byte, 4), 0) }, frame.ErrTooLarge, []string{"close 1009"}},
			"2^63":            {func(p *peer) { p.send([]byte{0x82, 0xff, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 0) }, frame.ErrMalformed, []string{"close 1002"}},
			"garbage":         {func(p *peer) { p.send([]byte("GET / HTTP/1.1\r\n\r\n"), 0) }, frame.ErrMalformed, []string{"close 1002"}},
			"no UTF-8":        {func(p *peer) { p.send(whole(text, "\xff"), 0) }, websocket.ErrInvalidData, []string{"close 1007"}},
			"a bomb":          {func(p *peer) { p.send(wire(binaryFrame, true, 4, deflated(make([]byte, 2<<20))), 0) }, frame.ErrTooLarge, []string{"close 1009"}},
			"nothing inflate": {func(p *peer) { p.send(wire(binaryFrame, true, 4, []byte("\xff\xff")), 0) }, websocket.ErrInvalidData, []string{"close 1007"}},
		} {
			ended := make(chan error, 1)
			address := listen(t, tr, echo{closed: func(_ *wssession.Conn, err error) { ended <- err }},
				&wssession.ServerOptions{Options: wssession.Options{MaxMessage: 1 << 20, Compression: true}})
			p := dialPeer(t, address, "permessage-deflate")
			k.peer(p)
			assert.Equal(t, k.all, p.all(t), name)
			_ = p.Close()
			assert.ErrorIs(t, wait(t, "OnClose", ended), k.is, name)
		}
	})
}

// TestSilentPeer does not answer a Close, and a server that does not end the connection is left.
func TestSilentPeer(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 1)
		o := wssession.Options{CloseTimeout: 30 * time.Millisecond}
		address := listen(t, tr, &hooks{
			open:  func(c *wssession.Conn) { assert.NoError(t, c.Close()) },
			close: func(_ *wssession.Conn, err error) { ended <- err },
		}, &wssession.ServerOptions{Options: o})
		p := dialPeer(t, address, "")
		assert.Equal(t, []string{"close 1000"}, p.all(t))
		require.ErrorIs(t, wait(t, "OnClose", ended), os.ErrDeadlineExceeded)

		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		go idleServer(l)
		_, err = wssession.Connect(tr, "ws://"+l.Addr().String(), &hooks{close: func(_ *wssession.Conn, err error) { ended <- err }}, &wssession.DialOptions{Options: o})
		require.NoError(t, err)
		closedWith(t, 1000, "", wait(t, "OnClose of the client", ended))
	})
}

// idleServer upgrades one connection, sends a Close, and leaves the connection open.
func idleServer(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	p := make([]byte, 4096)
	n, _ := c.Read(p)
	r := string(p[:n])
	_, key, _ := strings.Cut(r, "Sec-Websocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept(key)+"\r\n\r\n\x88\x02\x03\xe8")
	_, _ = io.Copy(io.Discard, c)
}

// TestFragments, of W02, takes messages in fragments, and sends them so.
func TestFragments(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		address := listen(t, tr, echo{}, &wssession.ServerOptions{Options: wssession.Options{Fragments: true, MaxMessage: 1000}})
		p := dialPeer(t, address, "")
		for _, f := range fragments(text, "κ"[:1], "κ"[1:]+"a", "", strings.Repeat("b", 1000)) {
			p.send(f, 0)
		}
		for i, want := range []string{"\xce", "\xbaa", "", strings.Repeat("b", 1000)} {
			first, payload, err := p.frame()
			require.NoError(t, err)
			require.Equal(t, want, string(payload))
			require.Equal(t, []byte{1, 0, 0, 0x80}[i], first)
		}
		p.send(wire(binaryFrame, false, 0, make([]byte, 1001)), 0)
		require.Equal(t, []string{"close 1009"}, p.all(t))
	})
}

func TestWriteRefuses(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		done := make(chan bool)
		address := listen(t, tr, &hooks{open: func(c *wssession.Conn) {
			defer close(done)
			message := func(kind websocket.Opcode, text string, more bool) websocket.Message {
				return websocket.Message{Kind: kind, Data: []byte(text), More: more}
			}
			for _, m := range []websocket.Message{message(websocket.Ping, "", false), message(0, "", false), message(websocket.Text, "\xff", false)} {
				assert.ErrorIs(t, c.Write(m), frame.ErrMalformed)
			}
			assert.ErrorIs(t, c.Ping(make([]byte, 126)), frame.ErrMalformed)
			assert.NoError(t, c.Write(message(websocket.Text, "\xce", true)))
			assert.ErrorIs(t, c.WriteBinary(nil), frame.ErrMalformed)
			assert.ErrorIs(t, c.WriteText(nil), frame.ErrMalformed, "half a character")
			assert.ErrorIs(t, c.Write(message(websocket.Text, "a", true)), frame.ErrMalformed)
			assert.NoError(t, c.Ping([]byte("between")))
			assert.NoError(t, c.Write(message(websocket.Text, "\xba", false)))
			assert.NoError(t, c.WriteBinary([]byte("x")))
			assert.NoError(t, c.Close())
		}}, nil)
		p := dialPeer(t, address, "")
		wait(t, "OnOpen", done)
		p.send(whole(closes, code(1000, "")), 0)
		require.Equal(t, []string{"ping between", "text κ", "binary x", ended}, p.all(t))
	})
}

// TestPingsOfAPeerThatDoesNotRead, of W01, get few answers, and the last one.
func TestPingsOfAPeerThatDoesNotRead(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		conn := make(chan *wssession.Conn, 1)
		mux := http.NewServeMux()
		mux.Handle("/", wssession.Serve(&hooks{open: func(c *wssession.Conn) { conn <- c }}, nil))
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(mux, nil), &tandem.ListenOptions{StreamOptions: tandem.StreamOptions{ReadWhileBlocked: true}})
		require.NoError(t, err)
		p := dialPeer(t, l.Addr().String(), "")
		c := wait(t, "OnOpen", conn)
		require.NoError(t, c.WriteBinary(make([]byte, 8<<20))) // more than the kernel's buffers take
		until(t, "the buffers are full", func() bool { return c.Stream().Queued() > 0 })
		before := c.Stream().Stats().BytesQueued
		const n = 20_000
		var out []byte
		for i := range n {
			out = append(out, whole(ping, fmt.Sprintf("%0100d", i))...)
		}
		p.send(out, 0)
		p.send(whole(text, "behind them"), 0)
		until(t, "the server has read them", func() bool { return tr.Stats().BytesIn >= uint64(len(out)) })
		require.Less(t, c.Stream().Stats().BytesQueued-before, uint64(8<<10), "bytes of pongs")
		last := ""
		for last != fmt.Sprintf("pong %0100d", n-1) {
			g, err := p.next()
			require.NoError(t, err)
			last = g.String()
		}
		require.NoError(t, p.Close())
	})
}

// TestPingPong has an end ping, and be told of the answer.
func TestPingPong(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ponged := make(chan string, 1)
		address := listen(t, tr, &hooks{open: func(c *wssession.Conn) { assert.NoError(t, c.Ping([]byte("there?"))) },
			pong: func(_ *wssession.Conn, p []byte) { ponged <- string(p) }}, nil)
		_, err := wssession.Dial(t.Context(), tr, "ws://"+address, &hooks{}, nil)
		require.NoError(t, err)
		require.Equal(t, "there?", wait(t, "the pong", ponged))
	})
}

// TestShutdown closes with 1001.
func TestShutdown(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 1)
		address := listen(t, tr, echo{closed: func(_ *wssession.Conn, err error) { ended <- err }}, nil)
		p := dialPeer(t, address, "")
		done := make(chan error, 1)
		go func() { done <- tr.Shutdown(context.Background()) }()
		g, err := p.next()
		require.NoError(t, err)
		require.Equal(t, "close 1001", g.String())
		p.send(whole(closes, code(1001, "")), 0)
		require.Empty(t, p.all(t))
		require.NoError(t, p.Close())
		require.NoError(t, wait(t, "Shutdown", done))
		closedWith(t, 1001, "", wait(t, "OnClose", ended))
	})
}

// TestManyWritersAndAnEnd, of W02, has goroutines write while either end closes: whatever is written before is whole, nothing
// follows a Close.
func TestManyWritersAndAnEnd(t *testing.T) {
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for round := range 10 {
			conn := make(chan *wssession.Conn, 1)
			address := listen(t, tr, &hooks{open: func(c *wssession.Conn) { conn <- c }}, nil)
			p := dialPeer(t, address, "")
			c := wait(t, "OnOpen", conn)
			var wrote atomic.Int64
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for c.WriteText([]byte("hello")) == nil {
						wrote.Add(1)
					}
				})
			}
			if round%2 == 0 {
				until(t, "a message", func() bool { return wrote.Load() > 0 })
				assert.NoError(t, c.Close())
			}
			go p.send(ends, 0)
			got := p.all(t)
			all.Wait()
			require.Equal(t, ended, got[len(got)-1])
			require.Len(t, got, int(wrote.Load())+1)
		}
	})
}
