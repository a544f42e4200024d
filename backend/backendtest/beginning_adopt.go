package backendtest

import (
	"net"
	"os"
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connPair is a connection of package net.
func (e *Env) connPair(network string) (a, b net.Conn) {
	e.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = e.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	require.NoError(e, err, "listen")
	defer l.Close()
	a, err = net.Dial(network, l.Addr().String())
	require.NoError(e, err, "dial")
	b, err = l.Accept()
	require.NoError(e, err, "accept")
	return a, b
}

// adopt adopts sockets from elsewhere: of package net, and of a socketpair. They talk, and the original is closed.
func adopt(e *Env) {
	if !e.once() {
		return
	}
	for _, network := range []string{"tcp", "unix"} {
		a, b := e.connPair(network)
		e.adoptAndTalk(a.(syscall.Conn), b.(halfCloser))
		_, err := a.Write([]byte("x"))
		assert.Error(e, err, "what was adopted can still be used")
	}
	a, b, err := socketPair()
	require.NoError(e, err, "socketpair")
	defer b.Close()
	c, err := net.FileConn(b)
	require.NoError(e, err, "file")
	e.adoptAndTalk(a, c.(halfCloser))
	assert.Error(e, a.Close(), "the file that was adopted is still open")
}

func (e *Env) adoptAndTalk(c syscall.Conn, other halfCloser) {
	e.Helper()
	h := echo()
	h.env(e)
	s, err := e.Under().Adopt(c, h)
	require.NoError(e, err, "adopt %T", c)
	assert.Same(e, s, h.Opened(), "OnOpen was called for another stream")
	p := e.plain(other)
	e.pingPong(p)
	require.NoError(e, p.CloseWrite(), "close for writing")
	err = h.Closed()
	assert.NoError(e, err, "the error of OnClose")
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
	_, err := a.Read(head) // some went to the holder before
	require.NoError(e, err, "read")
	_, err = a.Write([]byte("from the holder before; "))
	require.NoError(e, err, "write")
	h := NewHooks()
	h.env(e)
	s, err := e.Under().Adopt(a.(syscall.Conn), h)
	require.NoError(e, err, "adopt")
	_, err = s.Write([]byte("from the stream"))
	require.NoError(e, err, "write")
	require.NoError(e, arrives(e, written), "write")
	e.Eventually(func() bool { return h.Len() == len(want)-len(head) }, "all bytes")
	assert.Equal(e, string(want), string(append(head, h.Got()...)), "the bytes differ")
	const both = "from the holder before; from the stream"
	got := string(e.ReadAll(p, len(both)))
	assert.Equal(e, both, got, "bytes that the peer read")
}

// adoptNotAStream adopts sockets that are not connected stream sockets. It is an error, and they stay usable.
func adoptNotAStream(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	h.env(e)
	r, w, err := os.Pipe()
	require.NoError(e, err, "pipe")
	defer r.Close()
	defer w.Close()
	udp, err := net.Dial("udp", "127.0.0.1:9") // nothing is sent
	require.NoError(e, err, "dial")
	defer udp.Close()
	dir := e.TempDir()
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/d", Net: "unixgram"})
	require.NoError(e, err, "listen")
	defer to.Close()
	datagrams, err := net.Dial("unixgram", dir+"/d")
	require.NoError(e, err, "dial")
	defer datagrams.Close()
	l := e.listenPlain("tcp", "127.0.0.1:0")
	for what, c := range map[string]syscall.Conn{
		"pipe": r, "UDP socket": udp.(syscall.Conn), "datagram socket": datagrams.(syscall.Conn), "listener": l.(syscall.Conn),
	} {
		s, err := e.Under().Adopt(c, h)
		assert.Error(e, err, "adopt a %s", what)
		assert.Nil(e, s, "adopt a %s", what)
		assert.ErrorContains(e, err, "stream", "adopt a %s", what)
	}
	a, b := e.connPair("tcp")
	_, err = e.Under().Adopt(a.(syscall.Conn), nil)
	assert.ErrorContains(e, err, "Handler", "without a Handler")
	down := e.Open(nil)
	require.NoError(e, down.Close(), "close")
	_, err = down.Adopt(a.(syscall.Conn), h)
	assert.Error(e, err, "a Transport that has ended adopts")
	_, err = w.Write([]byte("x"))
	require.NoError(e, err, "the pipe cannot be used any longer")
	_, err = udp.(*net.UDPConn).SyscallConn()
	require.NoError(e, err, "the UDP socket cannot be used any longer")
	_, err = a.Write([]byte("x"))
	require.NoError(e, err, "the connection cannot be used any longer")
	e.ReadAll(e.plain(b), 1)
	require.NoError(e, a.Close(), "close")
	closed, other := e.connPair("tcp")
	require.NoError(e, closed.Close(), "close")
	require.NoError(e, other.Close(), "close")
	_, err = e.Under().Adopt(closed.(syscall.Conn), h)
	assert.Error(e, err, "a closed connection was adopted")
	assert.Zero(e, h.Count("OnOpen")+h.Count("OnClose"), "there were callbacks without a stream")
}
