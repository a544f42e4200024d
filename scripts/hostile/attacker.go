//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// attackTask is what attackers are told when they start.
type attackTask struct {
	Attack    string
	Addresses map[string]string // by service
	Peers     int
	Content   int // the largest content that the server takes, of an HTTP request
	Seed      uint64
}

// attackAnswer is what attackers say when they have begun, and when they have become silent.
type attackAnswer struct {
	Connects, Refused, Ended, Sent, Received int64

	Oldest  time.Duration // how long the server has put up with one peer
	Failure string
}

// silence asks attackers to do nothing any longer, but to stay connected.
type silence struct{}

// attackers are the peers of one attack, all in this process.
type attackers struct {
	attackTask
	over  chan struct{} // closed when they are to be silent
	seeds atomic.Uint64

	connects, refused, ended, sent, received, oldest atomic.Int64

	mu   sync.Mutex // guards live
	live map[*peer]struct{}
}

// peer is a connection of the attackers.
type peer struct {
	*net.TCPConn
	of   *attackers
	r    *rand.Rand
	born time.Time
}

// attackAsTold runs one attack until its parent asks for silence, and then waits to be killed.
func attackAsTold(c *conversation) error {
	a := &attackers{over: make(chan struct{}), live: map[*peer]struct{}{}}
	if err := c.hear(&a.attackTask); err != nil {
		return err
	}
	attack, err := findAttack(a.Attack)
	if err != nil {
		return c.say(attackAnswer{Failure: err.Error()})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		attack.run(a)
	}()
	if err := c.say(attackAnswer{}); err != nil {
		return err
	}
	if err := c.hear(&silence{}); err != nil {
		return err
	}
	a.stop()
	answer := a.answer()
	select {
	case <-done:
	case <-time.After(answerTime / 2):
		answer.Failure = "the attackers do not become silent"
	}
	if err := c.say(answer); err != nil {
		return err
	}
	_ = c.hear(&silence{}) // until this process is killed
	return nil
}

// stop has all calls of the attackers return.
func (a *attackers) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.over)
	for p := range a.live {
		_ = p.SetDeadline(time.Unix(1, 0))
	}
}

func (a *attackers) isOver() bool {
	select {
	case <-a.over:
		return true
	default:
		return false
	}
}

// pause waits, and reports whether the attack goes on.
func (a *attackers) pause(d time.Duration) bool {
	select {
	case <-a.over:
		return false
	case <-time.After(d):
		return true
	}
}

func (a *attackers) answer() attackAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range a.live {
		a.age(p)
	}
	return attackAnswer{
		Connects: a.connects.Load(), Refused: a.refused.Load(), Ended: a.ended.Load(), Sent: a.sent.Load(),
		Received: a.received.Load(), Oldest: time.Duration(a.oldest.Load()),
	}
}

func (a *attackers) age(p *peer) {
	for age := int64(time.Since(p.born)); ; {
		if was := a.oldest.Load(); was >= age || a.oldest.CompareAndSwap(was, age) {
			return
		}
	}
}

// random is a source of numbers for one goroutine.
func (a *attackers) random() *rand.Rand { return rand.New(rand.NewPCG(a.Seed, a.seeds.Add(1))) }

// control sets options of a socket before it is connected.
type control = func(network, address string, c syscall.RawConn) error

// dial connects to a service, from one of many addresses: else there were not enough ports.
func (a *attackers) dial(r *rand.Rand, service string, set control) (*peer, error) {
	from := net.IPv4(127, byte(1+r.IntN(250)), byte(r.IntN(250)), byte(1+r.IntN(250)))
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Second, Control: set, KeepAlive: -1}
	c, err := d.Dial("tcp", a.Addresses[service])
	if err != nil {
		a.refused.Add(1)
		return nil, err
	}
	a.connects.Add(1)
	p := &peer{TCPConn: c.(*net.TCPConn), of: a, r: r, born: time.Now()}
	a.mu.Lock()
	a.live[p] = struct{}{}
	a.mu.Unlock()
	if a.isOver() {
		_ = p.SetDeadline(time.Unix(1, 0))
	}
	return p, nil
}

// crowd runs n peers of a service, each of which connects and does its work again and again. When the attack is over,
// those that are connected stay so.
func (a *attackers) crowd(n int, service string, set control, work func(*peer)) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for r := a.random(); a.pause(time.Duration(r.IntN(2000)) * time.Microsecond); {
				p, err := a.dial(r, service, set)
				if err != nil {
					a.pause(5 * time.Millisecond)
					continue
				}
				if work(p); !a.isOver() {
					p.end()
				}
			}
		})
	}
	all.Wait()
}

// each runs parts of an attack at the same time.
func (a *attackers) each(parts ...func()) {
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(part)
	}
	all.Wait()
}

// end closes the connection.
func (p *peer) end() {
	p.of.mu.Lock()
	delete(p.of.live, p)
	p.of.mu.Unlock()
	p.of.age(p)
	p.of.ended.Add(1)
	_ = p.Close()
}

// reset closes the connection by a reset.
func (p *peer) reset() {
	_ = p.SetLinger(0)
	p.end()
}

// send writes b, and reports whether that worked.
func (p *peer) send(b []byte) bool {
	n, err := p.Write(b)
	p.of.sent.Add(int64(n))
	return err == nil
}

// drip sends bytes one at a time, with pauses, until the server has enough of it or the attack is over.
func (p *peer) drip(every time.Duration, next func(i int) byte) {
	for i := 0; p.send([]byte{next(i)}); i++ {
		if !p.of.pause(every) {
			return
		}
	}
}

// swallow reads until the end.
func (p *peer) swallow() {
	n, _ := io.Copy(io.Discard, p.TCPConn)
	p.of.received.Add(n)
}

// noise returns n bytes that mean nothing.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b[:n]
}

// attack is one way to trouble a server.
type attack struct {
	name     string
	what     string // for the table
	promise  string // the limit that bounds it
	services []string
	peers    int // at the same time
	holds    func(l *limits) holds
	defaults bool
	lasts    func(l *limits) time.Duration // how long the server puts up with one peer; nil: as long as it moves
	run      func(a *attackers)
}

func findAttack(name string) (*attack, error) {
	for i := range attacks {
		if attacks[i].name == name {
			return &attacks[i], nil
		}
	}
	return nil, fmt.Errorf("there is no attack %q", name)
}
