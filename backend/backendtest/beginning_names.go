package backendtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// names is a name server in this process: it has the addresses of some hosts, and knows no other host. A zero address
// means that a question about IPv6 is never answered.
type names map[string][]netip.Addr

// use has every look-up of the rule ask n.
func (n names) use(e *Env) {
	before := net.DefaultResolver
	e.T.Cleanup(func() { net.DefaultResolver = before }) // when the Transports have ended, and with them all look-ups
	net.DefaultResolver = n.resolver(e)
}

// resolver asks n.
func (n names) resolver(e *Env) *net.Resolver {
	ended, end := context.WithCancel(context.Background())
	e.Cleanup(end) // package net goes on with a look-up that was cancelled
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		if ended.Err() != nil {
			return nil, ended.Err()
		}
		client, server := net.Pipe()
		context.AfterFunc(ended, func() { _ = server.Close() })
		go n.serve(server)
		return client, nil
	}}
}

// serve answers queries as RFC 1035, section 4.2.2, has them over TCP: a message behind its length.
func (n names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer := n.answer(query)
		if answer == nil {
			_, _ = io.Copy(io.Discard, c) // never answered
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer is a message with the addresses that a query asks for: RFC 1035, section 4.1. Questions about a host with a nil
// list are never answered.
func (n names) answer(query []byte) []byte {
	const header, typeA, typeAAAA = 12, 1, 28
	host, end := "", header
	for query[end] != 0 {
		size := int(query[end])
		host += string(query[end+1:end+1+size]) + "."
		end += 1 + size
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	question := query[header : end+5]
	addresses, known := n[host]
	if known && addresses == nil {
		return nil
	}
	flags, count := uint16(0x8580), uint16(0) // an answer, with authority, recursion as asked
	if !known {
		flags |= 3 // no such name
	}
	var records []byte
	for _, a := range addresses {
		if !a.IsValid() && kind == typeAAAA {
			return nil
		}
		if a.Is4() != (kind == typeA) || !a.Is4() && kind != typeAAAA || !a.IsValid() {
			continue
		}
		count++
		records = append(records, 0xc0, header) // the name is that of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // class IN, time to live 0
		records = binary.BigEndian.AppendUint16(records, uint16(a.BitLen()/8))
		records = append(records, a.AsSlice()...)
	}
	answer := append([]byte(nil), query[:2]...)
	for _, v := range []uint16{flags, 1, count, 0, 0} {
		answer = binary.BigEndian.AppendUint16(answer, v)
	}
	return append(append(answer, question...), records...)
}

func loopbacks(last ...byte) (all []netip.Addr) {
	for _, b := range last {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, b}))
	}
	return all
}

// everyAddress dials hosts of which only one address answers.
func everyAddress(e *Env) {
	if !e.once() {
		return
	}
	names{"three.test.": loopbacks(3, 4, 5), "none.test.": loopbacks(6, 7), "six.test.": {netip.IPv6Loopback()}}.use(e)
	l := e.listenPlain("tcp", "127.0.0.5:0")
	port := l.Addr().(*net.TCPAddr).Port
	for _, network := range []string{"tcp", "tcp4"} {
		e.dialAndTalk(network, l, fmt.Sprintf("three.test.:%d", port))
	}
	h := NewHooks()
	h.env(e)
	_, err := e.Under().Dial(e.patient(), "tcp", fmt.Sprintf("none.test.:%d", port), h, nil)
	e.dialError(err, "tcp", syscall.ECONNREFUSED)
	var op *net.OpError
	require.ErrorAs(e, err, &op)
	assert.NotNil(e, op.Addr, "the address of %v", err)
	_, err = e.Under().Dial(e.patient(), "tcp4", "six.test.:1", h, nil)
	assert.ErrorAs(e, err, &op, "an address that does not suit tcp4")
}

// attemptsRace dials a host whose first address drops what comes. RFC 8305, section 5: the second is tried beside it.
func attemptsRace(e *Env) {
	if !e.once() {
		return
	}
	names{"two.test.": loopbacks(8, 9)}.use(e)
	dead, alive := e.samePort("127.0.0.8", "127.0.0.9")
	e.fill(dead)
	// The kernel sends the dropped SYN again after a second, and the dead one stays dead: only a race gets there.
	_, port, _ := net.SplitHostPort(alive.Addr().String())
	e.dialAndTalk("tcp", alive, "two.test.:"+port)
	e.Eventually(func() bool { return e.Under().Stats().Sockets == 1 }, "the end of the attempt that lost")
}

// samePort listens at one port of two addresses.
func (e *Env) samePort(a, b string) (net.Listener, net.Listener) {
	e.Helper()
	for range 100 {
		first, err := net.Listen("tcp", a+":0")
		require.NoError(e, err, "listen")
		_, port, _ := net.SplitHostPort(first.Addr().String())
		second, err := net.Listen("tcp", b+":"+port)
		if err != nil {
			_ = first.Close()
			continue
		}
		e.Cleanup(func() { _, _ = first.Close(), second.Close() })
		return first, second
	}
	e.Fatal("no port is free at both addresses")
	return nil, nil
}

// noSuchName dials names that do not exist. The error is a *net.DNSError in a *net.OpError.
func noSuchName(e *Env) {
	if !e.once() {
		return
	}
	names{}.use(e)
	h := NewHooks()
	h.env(e)
	var unknown *net.DNSError
	_, err := e.Under().Dial(e.patient(), "tcp", "nowhere.test.:1", h, nil)
	var op *net.OpError
	e.opError(err, "dial", "tcp")
	require.ErrorAs(e, err, &unknown, "dial a name that does not exist")
	assert.True(e, unknown.IsNotFound, "IsNotFound of %v", err)
	_, err = e.Under().Connect("tcp", "nowhere.test.:1", h, nil)
	require.NoError(e, err, "connect")
	err = h.Closed()
	assert.ErrorAs(e, err, &unknown, "the error of OnClose")
	_, err = e.Under().Dial(e.patient(), "tcp", "localhost:no-such-service", h, nil)
	assert.ErrorAs(e, err, &op, "a service that does not exist")
}

// contextEndsLookup ends dials while their name is being looked up.
func contextEndsLookup(e *Env) {
	if !e.once() {
		return
	}
	names{"a.test.": nil, "b.test.": nil, "c.test.": nil, "d.test.": nil}.use(e)
	t := e.Open(nil)
	h := NewHooks()
	h.env(e)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, err := t.Dial(ctx, "tcp", "a.test.:1", h, nil)
	e.dialError(err, "tcp", context.DeadlineExceeded)
	s, err := t.Connect("tcp", "b.test.:1", h, nil)
	require.NoError(e, err, "connect")
	require.NoError(e, s.Abort(), "abort")
	err = h.Closed()
	assert.ErrorIs(e, err, net.ErrClosed, "the error of OnClose")
	_, err = t.Connect("tcp", "c.test.:1", h, &session.DialOptions{Timeout: time.Millisecond})
	require.NoError(e, err, "connect")
	e.dialError(h.Closed(), "tcp", os.ErrDeadlineExceeded)
	_, err = t.Connect("tcp", "d.test.:1", h, nil)
	require.NoError(e, err, "connect")
	require.NoError(e, t.Close(), "close the Transport") // which ends this one
	assert.Equal(e, 3, h.Count("OnClose"), "calls of OnClose")
}
