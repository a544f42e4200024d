//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/polled"
)

// listen opens the listeners that live as long as the Transport.
func (l *life) listen(r *rand.Rand) {
	for _, kind := range []string{"half", "plain", "hasty", "tls"} {
		for _, network := range []string{"tcp", "unix"} {
			o := tandem.ListenOptions{}
			o.AllowHalfClose = kind != "plain"
			if kind == "tls" {
				o.TLS = serverTLS()
			}
			if kind == "hasty" {
				o.CloseTimeout, o.HalfCloseTimeout = 50*time.Millisecond, time.Second
			}
			l.open(kind, network, l.address(r, network), &o)
		}
	}
	web, err := l.t.Listen("tcp", l.loopback(), l.httpHandler(), nil)
	if err != nil {
		l.failf("Listen: %v", err)
		return
	}
	l.publish(place{"tcp", web.Addr().String(), "http"})
	v := &polledServers{l: l, pending: map[*polled.MessageSession[[]byte, []byte]][]byte{}}
	if v.messages, err = polled.Listen(l.t, "tcp", l.loopback(), nil); err == nil {
		v.http, err = polled.Listen(l.t, "tcp", l.loopback(), nil)
	}
	if err != nil {
		l.failf("Listen for sessions: %v", err)
		return
	}
	l.publish(place{"tcp", v.messages.Addr().String(), "polled"})
	l.publish(place{"tcp", v.http.Addr().String(), "polled http"})
	l.workers.Add(1)
	go func() {
		defer l.workers.Done()
		l.perform(v.serve)
	}()
}

// loopback is an address of 127.0.0.0/8 that another run does not have: its clients could meet ours at a port that was
// free for a moment.
func (l *life) loopback() string {
	return fmt.Sprintf("127.%d.%d.1:0", 1+l.seed%250, l.seed>>8%250)
}

// address draws one to listen on.
func (l *life) address(r *rand.Rand, network string) string {
	switch {
	case network == "tcp":
		return l.loopback()
	case r.IntN(2) == 0:
		return fmt.Sprintf("@tandem-soak-%d-%d", l.seed, r.Uint64())
	}
	return filepath.Join(l.dir, fmt.Sprintf("%x.sock", r.Uint64()))
}

func (l *life) publish(p place) {
	l.mu.Lock()
	l.places = append(l.places, p)
	l.mu.Unlock()
}

func (l *life) withdraw(p place) {
	l.mu.Lock()
	l.places = slices.DeleteFunc(l.places, func(q place) bool { return p == q })
	l.mu.Unlock()
}

// open opens a listener of servers. It returns nil if that is not possible now.
func (l *life) open(kind, network, address string, o *tandem.ListenOptions) tandem.Listener {
	t, err := l.t.Listen(network, address, &accepting{l: l, kind: kind, half: o.AllowHalfClose}, o)
	switch {
	case err == nil:
		l.count(done, "listeners opened")
		l.publish(place{network, t.Addr().String(), kind})
		return t
	case mayLack(err) || errors.Is(err, net.ErrClosed) || l.hasDied() || l.isEnding():
	case errors.Is(err, syscall.EADDRINUSE) && o.From != nil:
	default:
		l.failf("Listen on %s %s: %v", network, address, err)
	}
	return nil
}

// landlord opens listeners, pauses them and closes them.
func (l *life) landlord(r *rand.Rand) {
	for !l.stopping.Load() {
		network := []string{"tcp", "unix"}[r.IntN(2)]
		o := tandem.ListenOptions{StreamOptions: streamOptions(r), Backlog: r.IntN(2) * (1 + r.IntN(20))}
		o.AllowHalfClose = true
		if r.IntN(2) == 0 {
			o.MaxConns, o.RejectOverLimit = 1+r.IntN(5), r.IntN(2) == 0
		}
		t := l.open("passing", network, l.address(r, network), &o)
		if t == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		came := l.watch.expect("end of a listener's life")
		for range r.IntN(10) {
			time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			switch r.IntN(3) {
			case 0:
				t.PauseAccept()
				l.count(done, "listeners paused")
			case 1:
				t.ResumeAccept()
			default:
				if st := t.Stats(); o.MaxConns > 0 && st.Streams > o.MaxConns {
					l.failf("a listener has %d streams, and MaxConns is %d", st.Streams, o.MaxConns)
				}
			}
		}
		l.withdraw(place{network, t.Addr().String(), "passing"})
		if err := t.Close(); err != nil && !l.isEnding() && !l.hasDied() {
			l.failf("Close of a listener: %v", err)
		}
		if err := t.Err(); err == nil {
			l.failf("Err of a closed listener is nil")
		}
		came()
	}
}

// chance is a source of random numbers for one use, on any goroutine.
func (l *life) chance() *rand.Rand { return rand.New(rand.NewPCG(l.seed, l.chances.Add(1))) }
