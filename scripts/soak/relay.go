//go:build linux

package main

import (
	"errors"
	"net"
	"syscall"

	"github.com/tandem-io/tandem"
)

// relay is the far end of a server in modeRelay: a connection of the same loop, to another server that echoes.
//
//	client ──► server ──Take, WriteBuffer──► relay ──► another server
type relay struct {
	*end
	near   *tandem.Stream
	from   *server
	stream *tandem.Stream
	at     int
}

// relay connects the far end.
func (v *server) relay(s *tandem.Stream) {
	to, ok := v.l.pick(v.r, func(p place) bool { return p.kind == "half" })
	if !ok {
		v.l.failf("there is no address to relay to")
		return
	}
	e := v.l.newEnd("relay")
	far := &relay{end: e, near: s, from: v}
	e.dialled = true
	e.data, e.eof, e.over = far.onData, far.onEOF, far.onOver
	e.writable = func(*tandem.Stream) { s.ResumeRead() }
	options := &tandem.DialOptions{SameLoop: s, StreamOptions: tandem.StreamOptions{AllowHalfClose: true}}
	t, err := v.l.t.Connect(to.network, to.address, e, options)
	if err != nil {
		e.dialled = false
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EMFILE) && !v.l.hasDied() {
			v.l.failf("Connect of a relay: %v", err)
		}
		v.abort(v.r, s)
		return
	}
	far.stream, v.peer = t, far
	h := header{mode: modeEcho, key: v.h.key}
	if v.r.IntN(2) == 0 {
		h.mode = modeTake
	}
	_, _ = t.Write(h.append(nil)) // fails only if the stream has ended, and OnClose says why
}

// pass passes bytes on.
func (v *server) pass(s *tandem.Stream) {
	if v.peer == nil {
		_, _ = s.Discard(-1)
		return
	}
	far := v.peer.stream
	for s.Buffered() > 0 {
		b, err := s.Take(min(s.Buffered(), 1+v.r.IntN(20_000)))
		if err != nil {
			v.l.failf("Take for a relay: %v", err)
			return
		}
		v.verify(b.Bytes())
		if err := far.WriteBuffer(b); err != nil {
			b.Release()
			v.ok("WriteBuffer to a relay", err)
		}
	}
	if !far.Writable() {
		s.PauseRead()
		if far.Writable() {
			s.ResumeRead()
		}
	}
}

func (f *relay) onData(s *tandem.Stream) {
	v := f.from
	p, _ := s.Peek(-1)
	if err := verify(p, v.h.key, f.at); err != nil {
		v.l.wrong("a relay", err)
	}
	f.at += len(p)
	f.l.verified.Add(uint64(len(p)))
	b, err := s.Take(-1)
	if err != nil {
		f.l.failf("Take of a relay: %v", err)
		return
	}
	if err := f.near.WriteBuffer(b); err != nil {
		b.Release()
		v.ok("WriteBuffer of a relay", err)
	}
	if !f.near.Writable() {
		s.PauseRead()
		if f.near.Writable() {
			s.ResumeRead()
		}
	}
}

func (f *relay) onEOF(s *tandem.Stream) {
	_ = f.near.CloseWrite()
	_ = s.Close()
	if f.from.finished {
		_ = f.near.Close()
	}
}

func (f *relay) onOver(_ *tandem.Stream, err error) {
	if err != nil {
		f.from.aborted.Store(true)
		_ = f.near.Abort()
	}
}
