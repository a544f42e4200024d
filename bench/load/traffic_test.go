//go:build linux

package load

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

// spoil flips a bit of the byte at the given index of what a connection sends back.
type spoil struct {
	at    int
	total int
}

func (s *spoil) bytes(p []byte) {
	if s.total <= s.at && s.at < s.total+len(p) {
		p[s.at-s.total] ^= 0x01
	}
	s.total += len(p)
}

// spoilingEcho echoes, with one wrong byte on every connection.
func spoilingEcho(at int) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		s := spoil{at: at}
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			s.bytes(buf[:n])
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// spoilingFanOut sends to all, with one wrong byte for connection 1.
func spoilingFanOut(at int) func(int, net.Conn) {
	var mu sync.Mutex // guards what follows, and keeps messages in order
	s := spoil{at: at}
	var conns []net.Conn
	var victim net.Conn
	return func(i int, c net.Conn) {
		mu.Lock()
		conns = append(conns, c)
		if i == 1 {
			victim = c
		}
		_, _ = c.Write([]byte{workload.Greeting})
		mu.Unlock()
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			for _, to := range conns {
				q := slices.Clone(buf[:n])
				if to == victim {
					s.bytes(q)
				}
				_, _ = to.Write(q)
			}
			mu.Unlock()
		}
	}
}

func TestEveryKindCatchesAWrongByte(t *testing.T) {
	echo := workload.Workload{Kind: workload.KindEcho, Conns: 3, Size: 64, Depth: 2}
	for name, c := range map[string]struct {
		w       workload.Workload
		at      int
		serve   func(at int) func(int, net.Conn)
		message uint64
		offset  int
	}{
		"echo":       {echo, 64*5 + 7, spoilingEcho, 5, 7},
		"conn-echo":  {workload.Workload{Kind: workload.KindConnEcho, Conns: 3, Size: 64, Depth: 2}, 64*5 + 7, spoilingEcho, 5, 7},
		"worker":     {workload.Workload{Kind: workload.KindWorker, Conns: 3, Size: 64, Depth: 2}, 64*5 + 7, spoilingEcho, 5, 7},
		"frame":      {workload.Workload{Kind: workload.KindFrameEcho, Conns: 3, Size: 64, Depth: 2}, 72*5 + 9, spoilingEcho, 5, 9},
		"frame head": {workload.Workload{Kind: workload.KindFrameEcho, Conns: 3, Size: 64, Depth: 2}, 72 * 5, spoilingEcho, 5, 0},
		"open loop":  {workload.Workload{Kind: workload.KindEcho, Conns: 3, Size: 64, Depth: 1, Rate: 3000}, 64*5 + 7, spoilingEcho, 5, 7},
		"churn":      {workload.Workload{Kind: workload.KindChurn, Conns: 3, Size: 64, Depth: 1}, 63, spoilingEcho, 0, 63},
		"tls":        {workload.Workload{Kind: workload.KindTLSEcho, Conns: 3, Size: 64, Depth: 2}, 64*5 + 7, overTLS(t, spoilingEcho), 5, 7},
		"tls, paced": {workload.Workload{Kind: workload.KindTLSEcho, Conns: 3, Size: 64, Depth: 1, Rate: 3000}, 64*5 + 7, overTLS(t, spoilingEcho), 5, 7},
		"tls churn":  {workload.Workload{Kind: workload.KindTLSFull, Conns: 3, Size: 64, Depth: 1}, 63, overTLS(t, spoilingEcho), 0, 63},
		"websocket":  {workload.Workload{Kind: workload.KindWSEcho, Conns: 3, Size: 64, Depth: 2}, 66*5 + 2 + 7, overWS(t), 5, 7},
		"http":       {workload.Workload{Kind: workload.KindHTTP, Conns: 3, Size: 13, Depth: 2}, len(goodAnswer)*5 - 1, spoilingHTTP(goodAnswer), 4, 12},
		"fan-out":    {workload.Workload{Kind: workload.KindFanOut, Conns: 3, Size: 64, Depth: 2}, 64*5 + 7, spoilingFanOut, 5, 7},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(Config{ // which ends at the wrong byte, long before the window does
				Workload: c.w, Addr: startEcho(t, c.serve(c.at)), Window: 20 * time.Second, Stall: time.Minute,
			})
			var wrong *wrongByte
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, c.message, wrong.Message)
			assert.Equal(t, c.offset, wrong.Offset)
			assert.Equal(t, wrong.Want^0x01, wrong.Got)
		})
	}
}

// TestOtherFaults runs servers that send no wrong byte, but fail in other ways.
func TestOtherFaults(t *testing.T) {
	over := make(chan struct{})
	silent := func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	stream := workload.Workload{Kind: workload.KindStream, Conns: 2, Size: 1000, Depth: 1}
	fanOut := workload.Workload{Kind: workload.KindFanOut, Conns: 2, Size: 64, Depth: 1}
	for name, c := range map[string]struct {
		w     workload.Workload
		serve func(int, net.Conn)
		want  string
	}{
		"stream, something comes back": {stream, func(_ int, c net.Conn) {
			_, _ = c.Write([]byte("x"))
			silent(0, c)
		}, "1 bytes came back"},
		"stream, nothing is read": {stream, func(int, net.Conn) { <-over }, "stall: the server has taken nothing"},
		"stream, closed early": {stream, func(_ int, c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 100)
		}, "connection"},
		"fan-out, no greeting":      {fanOut, silent, "stall: 2 of 2 connections"},
		"fan-out, a wrong greeting": {fanOut, func(_ int, c net.Conn) { _, _ = c.Write([]byte("x")) }, "greeting is 0x78"},
		"fan-out, only to the sender": {fanOut, func(_ int, c net.Conn) {
			_, _ = c.Write([]byte{workload.Greeting})
			_, _ = io.Copy(c, c)
		}, "stall: 1 of 2 connections"},
		"churn, no answer": {workload.Workload{Kind: workload.KindChurn, Conns: 2, Size: 64, Depth: 1}, silent, "stall: connection 1 of slot"},
		"churn, closed": {workload.Workload{Kind: workload.KindChurn, Conns: 2, Size: 64, Depth: 1}, func(_ int, c net.Conn) {
			_, _ = io.CopyN(io.Discard, c, 64)
		}, "connection"},
		"open loop, no answer": {workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1, Rate: 1000}, silent,
			"stall: connection"},
		"open loop, more than was sent": {workload.Workload{Kind: workload.KindEcho, Conns: 1, Size: 64, Depth: 1, Rate: 10}, func(_ int, c net.Conn) {
			buf := make([]byte, 65)
			_, _ = io.ReadFull(c, buf[:64])
			_, _ = c.Write(buf)
			silent(0, c)
		}, "more bytes came back than were sent"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(Config{
				Workload: c.w, Addr: startEcho(t, c.serve), Window: time.Hour, Stall: 300 * time.Millisecond,
			})
			if name == "stream, nothing is read" {
				close(over)
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// TestStreamNoticesWhatWasNotRead: a server that closes at the FIN without reading loses bytes, and is found out.
func TestStreamNoticesWhatWasNotRead(t *testing.T) {
	drained := make(chan struct{})
	addr := startEcho(t, func(int, net.Conn) { <-drained }) // startEcho closes it then
	g, err := newGenerator(Config{
		Workload: workload.Workload{Kind: workload.KindStream, Conns: 1, Size: 1000, Depth: 1}, Addr: addr, Stall: time.Minute,
	})
	require.NoError(t, err)
	defer g.close()
	require.NoError(t, g.traffic.begin(g.now()))
	require.NoError(t, g.loop(g.now()+20*time.Millisecond))
	require.NotZero(t, g.messages, "messages that the kernel took")
	err = g.traffic.drain()
	close(drained)
	require.NoError(t, err)
	assert.ErrorIs(t, g.loop(-1), ErrUnread)
}
