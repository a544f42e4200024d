package backendtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// record is a message with a writer and a number in it, so that a stream of them can be checked.
func record(writer byte, number uint32, size int) []byte {
	p := make([]byte, 7, 7+size)
	p[0] = writer
	binary.BigEndian.PutUint32(p[1:], number)
	binary.BigEndian.PutUint16(p[5:], uint16(size))
	for i := range size {
		p = append(p, recordByte(writer, number, i))
	}
	return p
}

func recordByte(writer byte, number uint32, i int) byte { return writer*31 + byte(number)*7 + byte(i) }

// records takes a stream of records apart and returns how many there are of each writer; cut allows the last one to
// be incomplete.
func records(p []byte, cut bool) (map[byte]uint32, error) {
	next := map[byte]uint32{}
	for len(p) > 0 {
		if len(p) < 7 || len(p) < 7+int(binary.BigEndian.Uint16(p[5:])) {
			if cut {
				return next, nil
			}
			return nil, fmt.Errorf("%d bytes of a record", len(p))
		}
		writer, number, size := p[0], binary.BigEndian.Uint32(p[1:]), int(binary.BigEndian.Uint16(p[5:]))
		if number != next[writer] {
			return nil, fmt.Errorf("record %d of writer %d where %d was expected", number, writer, next[writer])
		}
		for i, c := range p[7 : 7+size] {
			if c != recordByte(writer, number, i) {
				return nil, fmt.Errorf("byte %d of record %d of writer %d, of %d bytes, is wrong", i, number, writer, size)
			}
		}
		next[writer]++
		p = p[7+size:]
	}
	return next, nil
}

// crowd are many writers of one stream.
type crowd struct {
	s     *session.Stream
	mu    sync.Mutex // guards what follows
	taken map[byte]uint32
	wrong error
	wait  sync.WaitGroup
}

// put writes the next record of a writer and reports whether there may be another.
func (c *crowd) put(writer byte, number *uint32) bool {
	p := record(writer, *number, 1+rand.IntN(3000))
	var err error
	switch rand.IntN(3) {
	case 0:
		_, err = c.s.Write(p)
	case 1:
		k := rand.IntN(len(p))
		_, err = c.s.Writev(net.Buffers{p[:k], p[k:]})
	default:
		err = c.s.WriteNotify(p, func(error) {})
	}
	return c.note(writer, number, err)
}

func (c *crowd) note(writer byte, number *uint32, err error) bool {
	if err == session.ErrWriteBufferFull {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		*number++
		c.taken[writer] = *number
	} else if !errors.Is(err, net.ErrClosed) { // a write may find that the connection has failed, but says that by OnClose
		c.wrong = err
	}
	return err == nil
}

// write writes from a goroutine of its own until the stream ends.
func (c *crowd) write(writer byte) {
	c.wait.Go(func() {
		for number := uint32(0); c.put(writer, &number); {
			for !c.s.Writable() && c.s.Queued() > 0 {
				time.Sleep(100 * time.Microsecond) // between two looks
			}
		}
	})
}

// meddle does everything else that any goroutine may do.
func (c *crowd) meddle() {
	c.wait.Go(func() {
		for err := error(nil); err == nil; err = c.s.Flush() {
			c.s.PauseRead()
			if st := c.s.Stats(); st.BytesSent > st.BytesQueued || c.s.Queued() < 0 {
				c.mu.Lock()
				c.wrong = fmt.Errorf("%+v", st)
				c.mu.Unlock()
			}
			c.s.ResumeRead()
			time.Sleep(50 * time.Microsecond) // leaves the others the lock
		}
	})
}

// forward makes Hooks for another stream. Its callbacks write records to the crowd's stream: those that come in as the
// Buffers in which they came, and others by the other methods.
func (c *crowd) forward(writer byte) *Hooks {
	h := NewHooks()
	var passed, made uint32
	h.Data = func(s *session.Stream) {
		for s.Buffered() >= 7 {
			head, _ := s.Peek(7)
			b, err := s.Take(7 + int(binary.BigEndian.Uint16(head[5:])))
			if err != nil {
				return // the rest is to come
			}
			if err = c.s.WriteBuffer(b); err != nil {
				b.Release()
			}
			if !c.note(writer, &passed, err) {
				_, _ = s.Discard(-1)
				return
			}
			c.put(writer+1, &made)
			_ = c.s.Flush()
		}
	}
	return h
}

func closeWriteAndClose(s *session.Stream) error {
	if err := s.CloseWrite(); err != nil {
		return nil // another goroutine was faster with Close
	}
	return s.Close()
}

// anyGoroutine has many goroutines and callbacks write to one stream, and others pause and flush it; then many end it
// at once.
func anyGoroutine(e *Env, end func(*session.Stream) error, want error) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{HighWater: 128 << 10})
	c := &crowd{s: s, taken: map[byte]uint32{}}
	incoming := Pattern(20_000)
	_, err := p.Write(incoming)
	require.NoError(e, err, "write")
	r := readOn(p)
	var others []Peer
	for i := range 3 { // some of them on the same loop, some on another
		_, q := e.Pair(c.forward(byte(100+10*i)), session.StreamOptions{})
		others = append(others, q)
	}
	for i := range 4 {
		c.write(byte(i))
	}
	c.meddle()
	c.meddle()
	number := uint32(0)
	e.Eventually(func() bool {
		for i, q := range others {
			_, err := q.Write(record(byte(100+10*i), number, rand.IntN(500)))
			require.NoError(e, err, "write")
		}
		number++
		return number >= 20 && r.len() >= 300_000 && h.Len() == len(incoming)
	}, "all writers at work")
	for range 4 {
		c.wait.Go(func() { assert.NoError(e, end(s)) })
	}
	c.wait.Wait()
	err = h.Closed()
	assert.Equal(e, want, err, "the error of OnClose")
	got, _ := r.all(e)
	seen, err := records(got, want != nil)
	require.NoError(e, err, "what the peer got")
	require.NoError(e, c.wrong, "a writer")
	assert.True(e, bytes.Equal(h.Got(), incoming), "the bytes that came in differ")
	for writer, n := range c.taken {
		if seen[writer] != n {
			assert.Error(e, want, "%d records of writer %d were taken, and %d arrived", n, writer, seen[writer])
			assert.LessOrEqual(e, seen[writer], n, "%d records of writer %d were taken, and %d arrived", n, writer, seen[writer])
		}
	}
}
