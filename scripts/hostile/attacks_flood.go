//go:build linux

package main

import (
	"sync"
	"time"
)

// oneByteSegments sends single bytes as fast as it can, and reads the echo.
func oneByteSegments(a *attackers) {
	a.crowd(a.Peers, echoService, nil, func(p *peer) {
		go p.swallow()
		for p.send([]byte{'x'}) {
		}
	})
}

// bulk always has data for the server, in both directions or in one.
func bulk(a *attackers) {
	pour := func(p *peer) {
		go p.swallow()
		for b := noise(p.r, 64*kib); p.send(b); {
		}
	}
	a.each(
		func() { a.crowd(a.Peers/2, echoService, nil, pour) },
		func() { a.crowd(a.Peers/2, discardService, nil, pour) },
	)
}

// resets ends connections by a reset: at once, with bytes unread on either side, in the middle of a message.
func resets(a *attackers) {
	begin := map[string][]byte{
		echoService:   make([]byte, 16*kib),
		httpService:   []byte("GET /4096 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTT"),
		u64Service:    append([]byte{0, 0, 1, 0, 0, 0, 0, 0}, make([]byte, 4*kib)...),
		sourceService: []byte("65536\n65536\n6553"),
	}
	part := func(service string) func() {
		return func() {
			a.crowd(a.Peers/len(begin), service, nil, func(p *peer) {
				b := begin[service]
				p.send(b[:p.r.IntN(len(b)+1)])
				if p.r.IntN(2) == 0 {
					p.of.pause(time.Duration(p.r.IntN(1000)) * time.Microsecond)
				}
				if !p.of.isOver() {
					_ = p.SetLinger(0)
				}
			})
		}
	}
	a.each(part(echoService), part(httpService), part(u64Service), part(sourceService))
}

// fins closes connections at once, and others in one direction only.
func fins(a *attackers) {
	half := func(p *peer) {
		p.send(make([]byte, p.r.IntN(64)))
		_ = p.CloseWrite()
		if p.r.IntN(8) == 0 {
			p.swallow() // until the server has enough of it
		}
	}
	a.each(
		func() { a.crowd(a.Peers/4, echoService, nil, func(*peer) {}) },
		func() { a.crowd(a.Peers/4, echoService, nil, half) },
		func() { a.crowd(a.Peers/2, halfService, nil, half) },
	)
}

// herds connects with all peers at once, and resets all of them, again and again.
func herds(a *attackers) {
	for !a.isOver() {
		var mu sync.Mutex
		var herd []*peer
		var all sync.WaitGroup
		for range a.Peers {
			all.Go(func() {
				p, err := a.dial(a.random(), echoService, nil)
				if err != nil {
					return
				}
				p.send([]byte{'x'})
				mu.Lock()
				herd = append(herd, p)
				mu.Unlock()
			})
		}
		all.Wait()
		if !a.pause(50 * time.Millisecond) {
			return // these stay connected
		}
		for _, p := range herd {
			p.reset()
		}
	}
}
