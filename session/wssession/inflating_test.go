package wssession_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/wssession"
)

// bombers are clients that send messages that grow a thousandfold.
func bombers(t *testing.T, tr tandem.Transport, h wssession.Handler, n int) (all []*polledPeer) {
	address := listen(t, tr, h, bombedOptions())
	for range n {
		all = append(all, dialPolled(t, address, "permessage-deflate", func() { _, _ = tr.Poll(0) }))
	}
	return all
}

// live returns the memory in use, in bytes.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestManyBombs, of W01, has many peers send what grows a thousandfold. What all of them may hold is bounded.
func TestManyBombs(t *testing.T) {
	const peers = 24
	bomb := deflated(make([]byte, mostOfBombs))
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := openOn(t, &tandem.Options{Backend: b, CallerDriven: true})
			got := map[*wssession.Conn]int{}
			h := &hooks{message: func(c *wssession.Conn, m websocket.Message) { got[c] = len(m.Data) }}
			all := bombers(t, tr, h, peers)
			before, most := live(), uint64(0)
			for _, p := range all {
				p.send(wire(binaryFrame, true, 4, bomb))
			}
			turns := 0
			until(t, "the messages", func() bool {
				if _, _ = tr.Poll(0); turns%50 == 0 {
					most = max(most, live())
				}
				turns++
				return len(got) == peers
			})
			for _, n := range got {
				require.Equal(t, mostOfBombs, n)
			}
			assert.Less(t, most-before, uint64(16*mostOfBombs), "bytes of memory") // that much for each of eight
		})
	}
}

// TestPausedBombs has streams pause while their messages are inflated, which keeps others waiting for a moment only.
func TestPausedBombs(t *testing.T) {
	const paused = 10
	bomb := wire(binaryFrame, true, 4, deflated(make([]byte, mostOfBombs)))
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := openOn(t, &tandem.Options{Backend: b, CallerDriven: true})
			var conns []*wssession.Conn
			got := map[string]int{}
			h := &hooks{open: func(c *wssession.Conn) { conns = append(conns, c) }}
			h.message = func(c *wssession.Conn, m websocket.Message) { got[c.Stream().RemoteAddr().String()] = len(m.Data) }
			all := bombers(t, tr, h, paused+1)
			before := tr.Stats().BytesIn
			for _, p := range all[:paused] {
				p.send(bomb)
			}
			until(t, "their bytes", func() bool {
				_, _ = tr.Poll(0)
				return tr.Stats().BytesIn-before == uint64(paused*len(bomb))
			})
			require.Empty(t, got)
			for _, c := range conns[:paused] {
				c.Stream().PauseRead()
			}
			all[paused].send(bomb)
			until(t, "the message of the last one", func() bool { _, _ = tr.Poll(0); return len(got) == 1 })
			for _, c := range conns[:paused] {
				c.Stream().ResumeRead()
			}
			until(t, "the others", func() bool { _, _ = tr.Poll(0); return len(got) == paused+1 })
			for _, n := range got {
				require.Equal(t, mostOfBombs, n)
			}
			for _, p := range all {
				p.send(whole(text, fmt.Sprintf("%9d", 1)))
			}
			until(t, "another message", func() bool {
				_, _ = tr.Poll(0)
				for _, n := range got {
					if n != 9 {
						return false
					}
				}
				return true
			})
		})
	}
}
