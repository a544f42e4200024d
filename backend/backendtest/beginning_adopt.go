package backendtest

import (
	"net"
	"os"
	"strings"
	"syscall"
)

// connPair is a connection of package net.
func (e *Env) connPair(network string) (a, b net.Conn) {
	e.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = e.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	e.Check(err, "listen")
	defer l.Close()
	a, err = net.Dial(network, l.Addr().String())
	e.Check(err, "dial")
	b, err = l.Accept()
	e.Check(err, "accept")
	return a, b
}

func adopt(e *Env) {
	if !e.once() {
		return
	}
	for _, network := range []string{"tcp", "unix"} {
		a, b := e.connPair(network)
		e.adoptAndTalk(a.(syscall.Conn), b.(halfCloser))
		if _, err := a.Write([]byte("x")); err == nil {
			e.Error("what was adopted can still be used")
		}
	}
	a, b, err := socketPair()
	e.Check(err, "socketpair")
	defer b.Close()
	c, err := net.FileConn(b)
	e.Check(err, "file")
	e.adoptAndTalk(a, c.(halfCloser))
	if err := a.Close(); err == nil {
		e.Error("the file that was adopted is still open")
	}
}

func (e *Env) adoptAndTalk(c syscall.Conn, other halfCloser) {
	e.Helper()
	h := echo()
	h.env(e)
	s, err := e.Under().Adopt(c, h)
	e.Check(err, "adopt %T", c)
	if h.Opened() != s {
		e.Error("OnOpen was called for another stream")
	}
	p := e.plain(other)
	e.pingPong(p)
	e.Check(p.CloseWrite(), "close for writing")
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
}

// adoptKeepsBytes adopts in the middle of a conversation.
func adoptKeepsBytes(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	a, b := e.connPair(e.Network)
	p := e.plain(b)
	want := Pattern(100_000)
	written := make(chan error, 1)
	go func() {
		_, err := p.Write(want)
		written <- err
	}()
	head := make([]byte, 10)
	if _, err := a.Read(head); err != nil { // some went to the holder before
		e.Fatalf("read: %v", err)
	}
	_, err := a.Write([]byte("from the holder before; "))
	e.Check(err, "write")
	h := NewHooks()
	h.env(e)
	s, err := e.Under().Adopt(a.(syscall.Conn), h)
	e.Check(err, "adopt")
	_, err = s.Write([]byte("from the stream"))
	e.Check(err, "write")
	e.Check(arrives(e, written), "write")
	e.Eventually(func() bool { return h.Len() == len(want)-len(head) }, "all bytes")
	if string(append(head, h.Got()...)) != string(want) {
		e.Error("the bytes differ")
	}
	const both = "from the holder before; from the stream"
	if got := string(e.ReadAll(p, len(both))); got != both {
		e.Errorf("the peer read %q", got)
	}
}

// adoptNotAStream tries what is no connected stream socket. It must stay usable.
func adoptNotAStream(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	h.env(e)
	r, w, err := os.Pipe()
	e.Check(err, "pipe")
	defer r.Close()
	defer w.Close()
	udp, err := net.Dial("udp", "127.0.0.1:9") // nothing is sent
	e.Check(err, "dial")
	defer udp.Close()
	dir := e.TempDir()
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/d", Net: "unixgram"})
	e.Check(err, "listen")
	defer to.Close()
	datagrams, err := net.Dial("unixgram", dir+"/d")
	e.Check(err, "dial")
	defer datagrams.Close()
	l := e.listenPlain("tcp", "127.0.0.1:0")
	for what, c := range map[string]syscall.Conn{
		"pipe": r, "UDP socket": udp.(syscall.Conn), "datagram socket": datagrams.(syscall.Conn), "listener": l.(syscall.Conn),
	} {
		if s, err := e.Under().Adopt(c, h); err == nil || s != nil || !strings.Contains(err.Error(), "stream") {
			e.Errorf("to adopt a %s gives %v", what, err)
		}
	}
	a, b := e.connPair("tcp")
	if _, err := e.Under().Adopt(a.(syscall.Conn), nil); err == nil || !strings.Contains(err.Error(), "Handler") {
		e.Errorf("without a Handler: %v", err)
	}
	down := e.Open(nil)
	e.Check(down.Close(), "close")
	if _, err := down.Adopt(a.(syscall.Conn), h); err == nil {
		e.Error("a Transport that has ended adopts")
	}
	_, err = w.Write([]byte("x"))
	e.Check(err, "the pipe cannot be used any longer")
	_, err = udp.(*net.UDPConn).SyscallConn()
	e.Check(err, "the UDP socket cannot be used any longer")
	_, err = a.Write([]byte("x"))
	e.Check(err, "the connection cannot be used any longer")
	e.ReadAll(e.plain(b), 1)
	e.Check(a.Close(), "close")
	closed, other := e.connPair("tcp")
	e.Check(closed.Close(), "close")
	e.Check(other.Close(), "close")
	if _, err := e.Under().Adopt(closed.(syscall.Conn), h); err == nil {
		e.Error("a closed connection was adopted")
	}
	if h.Count("OnOpen")+h.Count("OnClose") != 0 {
		e.Error("there were callbacks without a stream")
	}
}
