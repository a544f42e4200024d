package wssession

import (
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
)

// pongRoom is how many bytes may wait to be sent when a Pong is put behind them. Beyond that only the last one is kept, if
// another one waits: RFC 6455, section 5.5.3, allows to answer the most recent Ping alone.
const pongRoom = 4 << 10

// pongs is the state of the answers to pings. The Conn's mu guards it.
type pongs struct {
	end    uint64 // bytes of the stream up to the end of the last Pong that was queued
	late   []byte // the payload of a Pong that has no room yet
	isLate bool   // whether there is one
	asked  bool   // whether latePong is promised to be called
}

// pong answers a Ping: at once, or when there is room.
func (c *Conn) pong(s *session.Stream, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open {
		return
	}
	o := &c.pongs
	if o.end > s.Stats().BytesSent && s.Queued() >= pongRoom || c.sendPong(s, p) != nil {
		o.late, o.isLate = append(o.late[:0], p...), true
		if !o.asked {
			o.asked = s.WriteNotify(nil, func(error) { // when what is queued now was sent
				c.mu.Lock()
				c.pongs.asked = false
				c.mu.Unlock()
				c.latePong(s)
			}) == nil
		}
	}
}

// sendPong queues a Pong. mu is held.
func (c *Conn) sendPong(s *session.Stream, p []byte) error {
	err := c.writeLocked(websocket.Frame{Opcode: websocket.Pong, Fin: true, Payload: p})
	if err == nil {
		c.pongs.end, c.pongs.isLate = s.Stats().BytesQueued, false
	}
	return err
}

// latePong sends the Pong for which there was no room.
func (c *Conn) latePong(s *session.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pongs.isLate {
		_ = c.sendPong(s, c.pongs.late) // without room it goes on waiting, until the stream is writable
	}
}
