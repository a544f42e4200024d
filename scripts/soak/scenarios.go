//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// size draws how many bytes a connection carries.
func (k *client) size() int {
	if k.r.IntN(6) == 0 {
		return 1 + k.r.IntN(300_000)
	}
	return 1 + k.r.IntN(20_000)
}

// answering draws a header by which the server sends back what it gets, and an address for it.
func (k *client) answering() (header, place) {
	p := k.place("half", "plain", "passing", "tls")
	h := header{mode: mode(k.r.IntN(int(modeFrames))), key: k.r.Uint64(), first: uint32(k.size())}
	if p.kind == "plain" { // which does not wait for answers when the client has finished
		h.mode = []mode{modeEcho, modeWriteTo, modeTake}[k.r.IntN(3)]
	}
	if p.kind == "tls" && h.mode == modeDetach { // Adopt does not take a Conn with TLS
		h.mode = modeElsewhere
	}
	if k.r.IntN(3) == 0 {
		h.then = uint32(k.size())
	}
	if h.mode == modeTimer || h.mode == modeElsewhere {
		h.first, h.then = min(h.first, 5000), min(h.then, 5000) // a round trip takes its time
	}
	h.cut = uint32(1 + k.r.IntN(int(h.first)))
	if h.mode == modeDetach { // the Conn gets some of the first part, so that it is live before it is adopted
		h.first = max(h.first, 2)
		h.cut = min(h.cut, h.first-1)
	}
	k.carries = h.total()
	k.lacks = h.mode == modeRelay || h.mode == modeDetach
	k.doing += ": " + h.mode.String()
	return h, p
}

// talk has bytes sent back, and ends in one of the ways of a peer.
func (k *client) talk() error {
	h, p := k.answering()
	c, err := k.open(p)
	if err != nil {
		return err
	}
	defer c.Close()
	defer k.count(closed, "net.Conn, "+p.network)
	if _, err := c.Write(h.append(nil)); err != nil {
		return err
	}
	if k.r.IntN(6) == 0 {
		return k.vanish(c, h)
	}
	if err := k.converse(c, h, 0, int(h.first)); err != nil {
		return err
	}
	if err := k.converse(c, h, int(h.first), h.total()); err != nil {
		return err
	}
	if k.r.IntN(2) == 0 {
		return nil
	}
	k.count(faults, "half closes")
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return k.toEnd(c)
}

// vanish leaves in the middle of what the header announced.
func (k *client) vanish(c conn, h header) error {
	k.lenient = true
	at := k.r.IntN(int(h.first))
	end := c.Close
	if k.r.IntN(2) == 0 {
		if err := k.converse(c, h, 0, at); err != nil {
			return err
		}
	} else {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // nobody reads
		_, err := c.Write(pattern(h.key, 0, at))
		if t, ok := c.(*tls.Conn); ok && err != nil {
			end = t.NetConn().Close // Close would send an alert behind a part of a record, which no server could decrypt
		}
	}
	if t := tcp(c); t != nil && k.r.IntN(2) == 0 {
		k.count(faults, "resets by peers")
		return errors.Join(t.SetLinger(0), t.Close())
	}
	k.count(faults, "peers that vanish")
	return end()
}

// push reads what the server sends by itself.
func (k *client) push() error {
	h := header{mode: modePush, key: k.r.Uint64(), cut: uint32(k.size())}
	k.carries = int(h.cut)
	c, err := k.open(k.place("half", "tls"))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(h.append(nil)); err != nil {
		return err
	}
	if k.r.IntN(10) == 0 {
		k.count(faults, "peers that stop reading")
		k.lenient = true
		time.Sleep(time.Duration(k.r.IntN(300)) * time.Millisecond)
		return nil
	}
	if err := k.read(c, h.key, 0, int(h.cut)); err != nil {
		return err
	}
	return k.toEnd(c)
}

// idle waits for the end by a timeout.
func (k *client) idle() error {
	c, err := k.open(k.place("half", "hasty", "plain", "tls"))
	if err != nil {
		return err
	}
	defer c.Close()
	h := header{mode: modeIdle, key: k.r.Uint64()}
	if _, err := c.Write(h.append(nil)); err != nil {
		return err
	}
	return k.toEnd(c)
}

// fail has the server's stream end by an abort, a panic or the death of its loop.
func (k *client) fail() error {
	p := k.place("half", "hasty", "tls")
	c, err := k.open(p)
	if err != nil {
		return err
	}
	defer c.Close()
	h := header{mode: []mode{modeAbort, modePanic, modeGoexit}[k.r.IntN(3)], where: uint8(k.r.IntN(4)), key: k.r.Uint64(), first: uint32(k.size())}
	h.cut = uint32(1 + k.r.IntN(int(h.first)))
	k.doing += ": " + h.mode.String()
	if _, err := c.Write(h.append(nil)); err != nil {
		return err
	}
	err = k.converse(c, h, 0, int(h.first))
	var wrong *wrongBytes
	switch {
	case errors.As(err, &wrong):
		return err
	case h.mode == modeGoexit: // no server may have been allowed to
		k.lenient = k.lenient || isReset(err)
		return err
	case err == nil: // it came behind the last byte
		err = k.toEnd(c)
	}
	if isReset(err) || !strings.HasPrefix(p.network, "tcp") && (err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return nil
	}
	return fmt.Errorf("the server has aborted, and the client sees %w", errors.Join(err))
}

// isReset reports whether an error is one of a connection that its peer has reset.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// reset resets the connection at once, or soon.
func (k *client) reset() error {
	c, err := k.dial(k.place("half", "plain", "hasty", "passing", "tls", "http", "polled", "polled http"))
	if err != nil {
		return err
	}
	k.lenient = true
	if k.r.IntN(2) == 0 {
		h := header{mode: mode(k.r.IntN(int(modeGoexit))), key: k.r.Uint64(), first: 1000, cut: 1 + uint32(k.r.IntN(1000))}
		_, _ = c.Write(h.append(nil)[:k.r.IntN(headSize)])
	}
	time.Sleep(time.Duration(k.r.IntN(1000)) * time.Microsecond)
	if t, ok := c.(*net.TCPConn); ok {
		k.count(faults, "resets by peers")
		_ = t.SetLinger(0)
	}
	return c.Close()
}

// connect does nothing else.
func (k *client) connect() error {
	c, err := k.dial(k.place("half", "plain", "hasty", "passing", "tls", "http", "polled"))
	if err != nil {
		return err
	}
	return c.Close()
}
