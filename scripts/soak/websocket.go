//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/wssession"
)

// wsEnd is one end of a WebSocket connection. It checks what wssession promises of callbacks, and the messages.
type wsEnd struct {
	*end
	key    uint64
	got    int       // messages
	client *wsClient // nil: a server
	r      *rand.Rand
}

// wsOptions draws those of an end.
func wsOptions(r *rand.Rand) wssession.Options {
	return wssession.Options{MaxMessage: 1 << 20, Compression: r.IntN(2) == 0, CompressionThreshold: 1 + r.IntN(1000), CloseTimeout: 5 * time.Minute}
}

// upgrade makes a connection of a request to the HTTP server a WebSocket.
func (l *life) upgrade(w http.ResponseWriter, r *http.Request) {
	key, _ := asked(r.URL)
	h := &wsEnd{end: l.newEnd("WebSocket server"), key: key, r: l.chance()}
	// An error is told to the client, or the stream has ended.
	_, _ = wssession.Upgrade(w, r, h, &wssession.ServerOptions{Options: wsOptions(h.r)})
}

// OnOpen implements wssession.Handler.
func (e *wsEnd) OnOpen(c *wssession.Conn) {
	if e.opened.Add(1) != 1 {
		e.l.failf("%s: OnOpen again", e.kind)
	}
	e.l.count(opened, e.kind)
	e.enter("OnOpen")
	defer e.leave()
	if e.client != nil {
		e.client.begin(c)
	}
}

// OnMessage implements wssession.Handler. A server sends each message back, now and then in fragments.
func (e *wsEnd) OnMessage(c *wssession.Conn, m websocket.Message) {
	e.enter("a message")
	defer e.leave()
	if e.opened.Load() == 0 {
		e.l.failf("%s: a message before OnOpen", e.kind)
	}
	if err := expected(m.Data, e.key, e.got); err != nil {
		e.l.wrong(e.kind, err)
		_ = c.Stream().Abort()
		return
	}
	e.got++
	e.l.count(messages, "messages, of a "+e.kind)
	e.l.verified.Add(uint64(len(m.Data)))
	if e.client != nil {
		e.client.answered(c)
		return
	}
	if e.r.IntN(10) == 0 {
		_ = c.Ping(m.Data[:min(len(m.Data), 100)])
	}
	e.send(e.r, c, m.Kind, m.Data)
}

// send sends a message, in one piece or in two.
func (e *wsEnd) send(r *rand.Rand, c *wssession.Conn, kind websocket.Opcode, p []byte) {
	var err error
	if r.IntN(4) == 0 {
		cut := r.IntN(len(p) + 1)
		err = c.Write(websocket.Message{Kind: kind, Data: p[:cut], More: true})
		p = p[cut:]
	}
	if err == nil {
		err = c.Write(websocket.Message{Kind: kind, Data: p})
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		e.l.failf("%s: Write: %v", e.kind, err)
	}
}

// OnDrain implements wssession.Drainer.
func (e *wsEnd) OnDrain(c *wssession.Conn) {
	e.enter("OnDrain")
	defer e.leave()
	if e.r.IntN(2) == 0 {
		_ = c.CloseWith(websocket.StatusGoingAway, "draining")
	} // else the Transport aborts it in the end
}

// OnClose implements wssession.Handler.
func (e *wsEnd) OnClose(c *wssession.Conn, err error) {
	e.enter("OnClose")
	defer e.leave()
	var said *websocket.CloseError
	told := err
	if errors.As(err, &said) {
		e.l.count(done, fmt.Sprintf("WebSocket connections closed with %d", said.Code))
		told = nil
	}
	early := e.client != nil && e.opened.Load() == 0 // the client judges that
	if early || errors.Is(err, io.ErrUnexpectedEOF) && (e.l.isEnding() || e.l.hasDied()) {
		told = nil
	}
	e.ended(c.Stream(), told)
	if e.client != nil {
		e.client.over <- err
	}
}

// wsClient is a client that has messages sent back.
type wsClient struct {
	*wsEnd
	n     int // messages
	abort int // after so many it aborts
	over  chan error
}

// webSocket has messages sent back on a WebSocket.
func (k *client) webSocket() error {
	p := k.place("http")
	if p.network == "" {
		return errNoPlace
	}
	x := &wsClient{n: 1 + k.r.IntN(60), over: make(chan error, 1)}
	x.abort = x.n + 1
	if k.r.IntN(6) == 0 {
		x.abort = k.r.IntN(x.n)
	}
	x.wsEnd = &wsEnd{end: k.l.newEnd("WebSocket client"), key: k.r.Uint64(), client: x, r: k.l.chance()}
	x.dialled = true
	k.lacks = true
	o := &wssession.DialOptions{Options: wsOptions(k.r), HandshakeTimeout: -1}
	c, err := wssession.Connect(k.l.t, fmt.Sprintf("ws://%s/ws?key=%d", p.address, x.key), x.wsEnd, o)
	if err != nil {
		x.dialled = false
		return err
	}
	err = <-x.over
	k.doing += fmt.Sprintf(", %d of %d messages, compression %v", x.got, x.n, c.Compressed())
	var said *websocket.CloseError
	if x.got >= min(x.n, x.abort) && (errors.As(err, &said) || x.aborted.Load()) {
		return nil
	}
	return fmt.Errorf("the end of a WebSocket: %w", err)
}

// begin sends all messages from the loop or from another goroutine.
func (x *wsClient) begin(c *wssession.Conn) {
	r := x.l.chance()
	send := func() {
		for i := range x.n {
			x.send(r, c, websocket.Text, message(x.key, i))
		}
	}
	if x.abort == 0 {
		x.abandon(c)
	} else if x.r.IntN(2) == 0 {
		send()
	} else {
		x.l.workers.Add(1)
		go func() {
			defer x.l.workers.Done()
			send()
		}()
	}
}

// answered follows a message that has come back.
func (x *wsClient) answered(c *wssession.Conn) {
	switch x.got {
	case x.abort:
		x.abandon(c)
	case x.n:
		_ = c.Close()
	}
}

// abandon ends the connection without a word.
func (x *wsClient) abandon(c *wssession.Conn) {
	x.aborted.Store(true)
	_ = c.Stream().Abort()
}
