package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// The rules on limits of accepting, and on sockets that come and go.
var limitRules = []Rule{
	{"S27_TooManyFiles", tooManyFiles},
	{"S28_MaxConns", maxConns},
	{"S28_RejectOverLimit", rejectOverLimit},
	{"S30_Detach", detach},
	{"S30_DetachInCallback", detachInCallback},
}

func maxConns(e *Env) {
	t := e.Under()
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 3})
	e.Check(err, "listen")
	const all = 12
	var peers []Peer
	for range all {
		p := e.Connect(l.Addr())
		_, err := p.Write([]byte("hello"))
		e.Check(err, "write")
		peers = append(peers, p)
	}
	var streams []*session.Stream
	for range 3 {
		streams = append(streams, h.Opened())
	}
	time.Sleep(moment)
	for i := 3; i < all; i++ {
		if n := h.Count("OnOpen"); n != i {
			e.Fatalf("%d streams were opened when %d had room", n, i)
		}
		if n := l.Stats().Streams; n != 3 {
			e.Fatalf("the listener counts %d streams, not 3", n)
		}
		e.Check(streams[0].Close(), "close")
		streams = append(streams[1:], h.Opened())
	}
	e.Eventually(func() bool { return h.Len() == all*5 }, "what all had written")
	e.Check(l.Close(), "close the listener")
	for _, p := range peers {
		_ = p.Close()
	}
}

func rejectOverLimit(e *Env) {
	t := e.Under()
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 2, RejectOverLimit: true})
	e.Check(err, "listen")
	e.Connect(l.Addr())
	e.Connect(l.Addr())
	first := h.Opened()
	h.Opened()
	for range 3 {
		c, err := net.Dial(e.Network, l.Addr().String())
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if err == nil || e.Network == "tcp" && !errors.Is(err, syscall.ECONNRESET) {
			e.Errorf("a connection above the limit got %v, not a reset", err)
		}
	}
	if n := l.Stats().Rejected; n != 3 {
		e.Errorf("%d connections were rejected, not 3", n)
	}
	e.Check(first.Close(), "close")
	h.Closed()
	e.Eventually(func() bool { return l.Stats().Streams == 1 }, "room for another")
	p := e.Connect(l.Addr())
	h.Opened()
	_, err = p.Write([]byte("hello"))
	e.Check(err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "what it wrote")
	e.Check(l.Close(), "close the listener")
}

// detach takes a stream away in mid-conversation, with bytes under way in both directions.
func detach(e *Env) {
	h := NewHooks()
	var got []byte
	h.Data = func(s *session.Stream) {
		if len(got) < 1000 { // and leaves the rest
			b, _ := s.Next(1000 - len(got))
			got = append(got, b...)
		}
	}
	s, p := e.Pair(h, session.StreamOptions{})
	in, out := Pattern(300_000), Pattern(400_000)
	go func() { _, _ = p.Write(in) }()
	e.Eventually(func() bool { return h.Count("OnData") > 0 }, "data")
	_, err := s.Write(out[:200_000])
	e.Check(err, "write")
	c, err := s.Detach()
	e.Check(err, "detach")
	defer c.Close()
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		e.Errorf("Write after Detach: %v", err)
	}
	wrote := make(chan error, 1)
	go func() { _, err := c.Write(out[200_000:]); wrote <- err }()
	rest := make([]byte, len(in)-len(got))
	if n, err := io.ReadFull(c, rest); err != nil {
		e.Fatalf("the Conn read %d of %d bytes: %v", n, len(rest), err)
	}
	if !bytes.Equal(append(got, rest...), in) {
		e.Error("bytes received differ")
	}
	if !bytes.Equal(e.ReadAll(p, len(out)), out) {
		e.Error("bytes sent differ")
	}
	e.Check(<-wrote, "write to the Conn")
}

func detachInCallback(e *Env) {
	h := NewHooks()
	conns := make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		line, _ := s.Next(3)
		if string(line) != "up\n" {
			return
		}
		_, _ = s.Write([]byte("ok\n")) // still gathered when the socket goes
		c, err := s.Detach()
		if err != nil {
			h.e.Errorf("detach: %v", err)
		}
		conns <- c
	}
	_, p := e.Pair(h, session.StreamOptions{})
	want := Pattern(50_000)
	_, err := p.Write(append([]byte("up\n"), want...))
	e.Check(err, "write")
	c := <-conns
	if c == nil {
		return
	}
	defer c.Close()
	h.Closed()
	got := make([]byte, len(want))
	_, err = io.ReadFull(c, got)
	e.Check(err, "read from the Conn")
	if !bytes.Equal(got, want) {
		e.Error("bytes received differ")
	}
	_, err = c.Write([]byte("bye"))
	e.Check(err, "write to the Conn")
	if got := e.ReadAll(p, 6); string(got) != "ok\nbye" {
		e.Errorf("the peer read %q", got)
	}
}
