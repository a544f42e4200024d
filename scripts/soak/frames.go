//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// codecs are those of messages; a header says which.
var codecs = []frame.Codec[[]byte]{
	frame.U64{MaxPayload: 1 << 20}, frame.Checksum32{MaxPayload: 1 << 20}, frame.Varint{MaxPayload: 1 << 20}, frame.Simple{}, frame.Line{},
}

// message is number i of the messages of a key. Most are small.
func message(key uint64, i int) []byte {
	k := mix(key + uint64(i))
	n := int(k>>8) % 200
	if k%8 == 0 {
		n = int(k>>8) % 30_000
	}
	p := pattern(k, 0, n)
	for j := range p { // text, for lines
		p[j] = 'a' + p[j]%26
	}
	return p
}

// expected compares m with message number i.
func expected(m []byte, key uint64, i int) error {
	if want := message(key, i); string(m) != string(want) {
		return &wrongBytes{at: i, text: fmt.Sprintf("message of %d bytes, want %d: %.20q, want %.20q", len(m), len(want), m, want)}
	}
	return nil
}

// expected is the function of this name for the server's next message. The last line of a client that has left is a
// message, however much of it came.
func (v *server) expected(m []byte, codec frame.Codec[[]byte]) error {
	err := expected(m, v.h.key, v.at)
	if _, line := codec.(frame.Line); err != nil && line && !v.cutShort && strings.HasPrefix(string(message(v.h.key, v.at)), string(m)) {
		v.cutShort = true
		return nil
	}
	if v.cutShort {
		return errors.Join(err, &wrongBytes{at: v.at, text: "a message behind one that was cut short"})
	}
	return err
}

// frames makes the server one of messages, each of which it sends back.
func (v *server) frames(s *tandem.Stream) {
	codec := codecs[int(v.h.where)%len(codecs)]
	h := session.Frames(codec, func(s *tandem.Stream, m []byte) {
		v.enter("a message")
		defer v.leave()
		if err := v.expected(m, codec); err != nil {
			v.l.wrong("a server of frames", err)
		}
		v.at++
		v.l.count(messages, fmt.Sprintf("frames, %T", codec))
		v.l.verified.Add(uint64(len(m)))
		v.ok("WriteFrame", session.WriteFrame(s, codec, m))
		if v.r.IntN(20) == 0 {
			s.PauseRead()
			v.after(s, time.Millisecond, s.ResumeRead)
		}
	})
	h.EOF = func(s *tandem.Stream) { v.OnEOF(s) }
	h.Close = func(s *tandem.Stream, err error) { v.OnClose(s, err) }
	v.carriesFrames.Store(true)
	s.SetHandler(h)
}

// framedConn is a client on a net.Conn.
func (k *client) framedConn(c net.Conn, h header, n int) error {
	codec := codecs[int(h.where)%len(codecs)]
	sent := make(chan error, 1)
	seed := k.r.Uint64()
	go func() {
		w := &writer{c: c, r: rand.New(rand.NewPCG(seed, 3)), drip: seed%4 == 0}
		for i := range n {
			p, err := codec.Append(nil, message(h.key, i))
			if err == nil {
				err = w.write(p)
			}
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	err := k.readMessages(c, codec, h.key, n)
	if err != nil {
		_ = c.Close()
	}
	return errors.Join(err, <-sent)
}

func (k *client) readMessages(c net.Conn, codec frame.Codec[[]byte], key uint64, n int) error {
	in := session.NewMessageBuffer(codec)
	defer in.Drop()
	b := make([]byte, 8<<10)
	for i := 0; i < n; {
		size, err := c.Read(b)
		in.Add(b[:size])
		for {
			m, ok, err := in.Next()
			if err != nil {
				return &wrongBytes{at: i, text: err.Error()}
			}
			if !ok {
				break
			}
			if err := expected(m, key, i); err != nil {
				return err
			}
			i++
			k.count(messages, "frames, by a MessageBuffer")
			k.verified.Add(uint64(len(m)))
		}
		in.Keep()
		if err != nil && i < n {
			return fmt.Errorf("after %d of %d messages: %w", i, n, err)
		}
	}
	return nil
}

// frames has messages sent back, on a net.Conn.
func (k *client) frames() error {
	c, err := k.open(k.place("half", "plain", "tls"))
	if err != nil {
		return err
	}
	defer c.Close()
	h := header{mode: modeFrames, where: uint8(k.r.IntN(len(codecs))), key: k.r.Uint64()}
	if _, err := c.Write(h.append(nil)); err != nil {
		return err
	}
	return k.framedConn(c, h, 1+k.r.IntN(60))
}

// framedStream is the same on a stream of frames.
func (k *client) framedStream() error {
	l := k.l
	h := header{mode: modeFrames, where: uint8(k.r.IntN(len(codecs))), key: k.r.Uint64()}
	codec, n, got := codecs[int(h.where)%len(codecs)], 1+k.r.IntN(60), 0
	e := l.newEnd("frames")
	e.dialled = true
	e.carriesFrames.Store(true)
	over := make(chan error, 1)
	e.over = func(_ *tandem.Stream, err error) { over <- err }
	var wrong error
	f := session.Frames(codec, func(s *tandem.Stream, m []byte) {
		e.enter("a message")
		defer e.leave()
		if err := expected(m, h.key, got); err != nil && wrong == nil {
			wrong = err
			e.aborted.Store(true)
			_ = s.Abort()
		}
		got++
		k.count(messages, "frames, of a dialled stream")
		k.verified.Add(uint64(len(m)))
		if got == n {
			_ = s.Close()
		}
	})
	f.Open, f.Close, f.EOF = e.OnOpen, e.OnClose, e.OnEOF
	p := k.place("half", "plain")
	s, err := l.t.Connect(p.network, p.address, f, nil)
	if err != nil {
		e.dialled = false
		return err
	}
	_, err = s.Write(h.append(nil))
	for i := 0; i < n && err == nil; i++ {
		err = session.WriteFrame(s, codec, message(h.key, i))
	}
	if err != nil {
		e.aborted.Store(true)
		_ = s.Abort()
	}
	closed := <-over
	if wrong == nil && got < n && closed == nil {
		wrong = fmt.Errorf("the stream of frames ended after %d of %d messages", got, n)
	}
	return errors.Join(wrong, err, closed)
}

// framedSession is the same on a polled session.
func (k *client) framedSession() error {
	l, p := k.l, k.place("half", "plain", "polled")
	h := header{mode: modeFrames, where: uint8(k.r.IntN(len(codecs))), key: k.r.Uint64()}
	if p.kind == "polled" {
		h.where = 0 // what that server speaks
	}
	x := &framedDuty{k: k, h: h, n: 1 + k.r.IntN(60), p: p, head: h.append(nil)}
	if p.kind == "polled" {
		x.head = nil
	}
	l.perform(x.step)
	return x.err
}

// framedDuty is a client whose caller drives it.
type framedDuty struct {
	k         *client
	p         place
	h         header
	head      []byte // what of the header was not taken yet
	n         int
	sent, got int
	conn      *polled.StreamSession
	s         *polled.MessageSession[[]byte, []byte]
	err       error
}

func (x *framedDuty) step() bool {
	over, err := x.turn()
	if err != nil {
		x.err = err
	}
	if (over || err != nil) && x.conn != nil {
		if err := x.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			x.k.failf("Close of a session: %v", err)
		}
	}
	return over || err != nil
}

// turn is one turn of the connection.
func (x *framedDuty) turn() (over bool, err error) {
	if x.conn == nil {
		if x.conn, err = polled.Connect(x.k.l.t, x.p.network, x.p.address, nil); err != nil {
			return true, err
		}
		x.s = polled.NewFramed(x.conn, codecs[int(x.h.where)%len(codecs)], 1<<uint(8+x.h.key%8))
	}
	if _, err := x.s.Drive(); err != nil {
		return true, err
	}
	if len(x.head) > 0 {
		x.head, _, err = x.conn.Write(x.head)
		return false, err
	}
	for x.sent < x.n {
		_, status, err := x.s.Write(message(x.h.key, x.sent))
		if err != nil {
			return true, err
		}
		if status == polled.Pending {
			break
		}
		x.sent++
	}
	for x.got < x.n {
		m, status, err := x.s.Read()
		if err != nil {
			if err == io.EOF {
				err = fmt.Errorf("a session ended after %d of %d messages: %w", x.got, x.n, io.ErrUnexpectedEOF)
			}
			return true, err
		}
		if status != polled.Data {
			return false, nil
		}
		if err := expected(m, x.h.key, x.got); err != nil {
			return true, err
		}
		x.got++
		x.k.count(messages, "frames, of a polled session")
		x.k.verified.Add(uint64(len(m)))
	}
	return true, nil
}
