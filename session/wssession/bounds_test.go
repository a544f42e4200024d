package wssession_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// polledPeer is a client of a Transport that the test polls.
type polledPeer struct {
	net.Conn
	t *testing.T
}

// dialPolled connects and shakes hands. turn polls.
func dialPolled(t *testing.T, address, extensions string, turn func()) *polledPeer {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, asking(extensions))
	require.NoError(t, err)
	p := &polledPeer{c, t}
	got := ""
	until(t, "the handshake", func() bool {
		turn()
		got += p.came()
		return strings.HasSuffix(got, "\r\n\r\n")
	})
	return p
}

// came reads what is there.
func (p *polledPeer) came() string {
	b := make([]byte, 64<<10)
	_ = p.SetReadDeadline(time.Now().Add(20 * time.Microsecond))
	n, _ := p.Read(b)
	return string(b[:n])
}

func (p *polledPeer) send(b []byte) {
	_, err := p.Write(b)
	require.NoError(p.t, err)
}

// mostOfBombs is the limit of a message in the tests of bombs: it takes 32 turns.
const mostOfBombs = 4 << 20

// bombedOptions are the options of servers that are sent bombs.
func bombedOptions() *wssession.ServerOptions {
	return &wssession.ServerOptions{Options: wssession.Options{Compression: true, MaxMessage: mostOfBombs}}
}

// bombs are messages of a few kilobytes that take long to inflate.
func bombs() map[string][]byte {
	zeros := deflated(make([]byte, mostOfBombs))
	whole := wire(binaryFrame, true, 4, zeros)
	return map[string][]byte{
		"large":        whole,
		"in fragments": slices.Concat(wire(text, false, 4, zeros[:1000]), wire(continuation, true, 0, zeros[1000:])),
		"too large":    wire(binaryFrame, true, 4, deflated(make([]byte, mostOfBombs+1))),
		"empty blocks": wire(binaryFrame, true, 4, append([]byte(strings.Repeat("\x00\x00\x00\xff\xff", 1<<18)), 0)),
		"and the end":  slices.Concat(whole, ends),
		"of no UTF-8":  wire(text, true, 4, deflated([]byte(strings.Repeat("x", mostOfBombs-1)+"\xff"))),
		"and garbage":  slices.Concat(whole, []byte("\xff\xff")),
	}
}

// TestBombs, of W01, has one peer send what takes long to inflate. Meanwhile another one of the same loop is served.
func TestBombs(t *testing.T) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := openOn(t, &tandem.Options{Backend: b, CallerDriven: true})
			for name, bomb := range bombs() {
				bombed(t, tr, name, bomb)
			}
		})
	}
}

func bombed(t *testing.T, tr tandem.Transport, name string, bomb []byte) {
	over, begun, served := false, false, 0
	h := &hooks{close: func(*wssession.Conn, error) { over = true }}
	h.message = func(c *wssession.Conn, m websocket.Message) {
		if len(m.Data) == 1 {
			served++
			return
		}
		over = true
	}
	address := listen(t, tr, h, bombedOptions())
	turn := func() { _, _ = tr.Poll(0) }
	bad, good := dialPolled(t, address, "permessage-deflate", turn), dialPolled(t, address, "", turn)
	sent := make(chan error, 1)
	go func() {
		_, err := bad.Write(bomb)
		sent <- err
	}()
	before := tr.Stats().BytesIn
	between := 0
	until(t, "the bomb", func() bool {
		good.send(whole(text, "x"))
		turn()
		if !begun {
			begun = tr.Stats().BytesIn-before >= uint64(len(bomb)) // all of it is there, and some of the other one's
			between = served
		}
		return over
	})
	require.NoError(t, wait(t, "the end of the sending", sent))
	assert.Greater(t, served-between, 15, "messages of the other peer, while one was inflated: "+name)
	_ = bad.Close()
	_ = good.Close()
	until(t, "no stream is left", func() bool { turn(); return tr.Stats().Streams == 0 })
}

// TestBombAndAnEnd has the stream end in all ways, or stop for a while, while a message is inflated.
func TestBombAndAnEnd(t *testing.T) {
	for _, config := range configs(2) {
		for name, k := range map[string]struct {
			do   func(c *wssession.Conn, p *simulated.Peer)
			want string
		}{
			"Close":   {func(c *wssession.Conn, _ *simulated.Peer) { require.NoError(t, c.Close()) }, "4194304, websocket: closed with status 1000"},
			"Abort":   {func(c *wssession.Conn, _ *simulated.Peer) { _ = c.Stream().Abort() }, ", use of closed network connection"},
			"the end": {func(_ *wssession.Conn, p *simulated.Peer) { p.Finish() }, "4194304, unexpected EOF"},
			"a pause": {func(c *wssession.Conn, _ *simulated.Peer) {
				c.Stream().PauseRead()
				c.Stream().After(time.Second, c.Stream().ResumeRead)
			}, "4194304, websocket: closed with status 1000"},
		} {
			kernel, tr := world(t, config)
			got := ""
			var conn *wssession.Conn
			h := &hooks{open: func(c *wssession.Conn) { conn = c }}
			h.message = func(_ *wssession.Conn, m websocket.Message) { got += fmt.Sprint(len(m.Data)) }
			h.close = func(_ *wssession.Conn, err error) { got += ", " + err.Error() }
			address := listen(t, tr, h, bombedOptions())
			p, err := kernel.Dial("tcp", address)
			require.NoError(t, err)
			p.Send([]byte(asking("permessage-deflate")))
			bomb := wire(binaryFrame, true, 4, deflated(make([]byte, mostOfBombs)))
			p.Send(bomb)
			require.NoError(t, kernel.Run(func() bool { return conn != nil && tr.Stats().BytesIn >= uint64(len(bomb)) }, tr))
			require.Empty(t, got, "it is being inflated")
			k.do(conn, p)
			if name == "Close" || name == "a pause" {
				p.Send(ends)
			}
			require.NoError(t, kernel.Run(func() bool { return strings.Contains(got, ",") }, tr), "seed %d, %s: %s", config.Seed, name, got)
			require.Equal(t, k.want, got, "seed %d, %s", config.Seed, name)
			p.Close()
			require.NoError(t, kernel.Run(func() bool { return tr.Stats().Streams == 0 }, tr))
			require.NoError(t, tr.Close())
		}
	}
}

// TestPolledBombs has a Session inflate in many calls of Read, and be told of the end only then.
func TestPolledBombs(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		l, err := polled.Listen(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		server := &polledServer{Listener: l, options: bombedOptions()}
		p := dialPolled(t, l.Addr().String(), "permessage-deflate", func() { server.turn(t) })
		s := server.sessions[0].Session
		p.send(wire(binaryFrame, true, 4, deflated(make([]byte, mostOfBombs))))
		require.NoError(t, p.Close())
		reads, got := 0, 0
		until(t, "the message", func() bool {
			_, err := s.Drive()
			require.NoError(t, err)
			m, status, err := s.Read()
			require.NoError(t, err)
			if status == polled.Buffered {
				reads++
			}
			got = len(m.Data)
			return status == polled.Data
		})
		require.Equal(t, mostOfBombs, got)
		require.Greater(t, reads, 25)
		until(t, "the end", func() bool {
			_, _ = s.Drive()
			_, _, err = s.Read()
			return err != nil
		})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NoError(t, s.Close())
	})
}

// TestEndlessFragments, of W01, ends a message that is made of more fragments than the limit.
func TestEndlessFragments(t *testing.T) {
	for name, part := range map[string]string{"empty": "", "of a byte": "x"} {
		for _, compressed := range []bool{false, true} {
			first, kind := wire(binaryFrame, false, 0, []byte(part)), "plain"
			if compressed {
				first, kind = wire(binaryFrame, false, 4, []byte(part)), "compressed"
			}
			endless := append(first, strings.Repeat(string(wire(continuation, false, 0, []byte(part))), 64<<10)...)
			t.Run(name+" "+kind, func(t *testing.T) { endsTooLarge(t, endless) })
		}
	}
}

// endsTooLarge has a peer send what is too large, to a Conn and to a Session.
func endsTooLarge(t *testing.T, bytes []byte) {
	o := &wssession.ServerOptions{Options: wssession.Options{Compression: true}}
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		closed := make(chan error, 1)
		p := dialPeer(t, listen(t, tr, echo{closed: func(_ *wssession.Conn, err error) { closed <- err }}, o), "permessage-deflate")
		go p.send(bytes, 0)
		assert.Equal(t, []string{"close 1009"}, p.all(t))
		_ = p.Close()
		assert.ErrorIs(t, wait(t, "OnClose", closed), frame.ErrTooLarge)

		var end error
		server := newPolledServer(t, tr, o)
		server.ended = func(_ *wssession.Session, err error) { end = err }
		done := make(chan []string, 1)
		go func() {
			p := dialPeer(t, server.Addr().String(), "permessage-deflate")
			go p.send(bytes, 0)
			done <- p.all(t)
			_ = p.Close()
		}()
		until(t, "the end of the Session", func() bool { server.turn(t); return end != nil })
		assert.Equal(t, []string{"close 1009"}, wait(t, "the end of the peer", done))
		assert.ErrorIs(t, end, frame.ErrTooLarge)
	})
}
