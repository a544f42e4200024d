//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// trial is one attack on one server, and what was measured.
type trial struct {
	Backend, Limits, Attack, What, Promise string

	Peers          int
	Calm, Attacked latency
	Peak           int64 // resident memory
	Attackers      attackAnswer
	Silent         turns
	LongestTurn    time.Duration // of the server, in all attacks so far
	Gone           time.Duration // after which the server had got rid of its peers by itself; 0: it need not
	After          time.Duration // after which nothing was left, when they had gone
	Memory         int64         // resident, then
	Descriptors    int           // then
	Bounds         []bound
	Failure        string // what ended the trial early

	server *target
	attack *attack
}

func (t *trial) hold(b bound) { t.Bounds = append(t.Bounds, b) }

// broken lists what is wrong.
func (t *trial) broken() (all []string) {
	if t.Failure != "" {
		all = append(all, t.Failure)
	}
	for _, b := range t.Bounds {
		if b.Broken {
			all = append(all, b.String())
		}
	}
	return all
}

// late reports whether the latency is all that is wrong.
func (t *trial) late() bool {
	all := t.broken()
	return len(all) == 1 && t.Failure == "" && t.Bounds[0].Broken
}

// try runs an attack. If only the latency was too long it tries twice again: other work on the machine may have been the
// cause.
func (g *target) try(a *attack) *trial {
	for again := 2; ; again-- {
		t := g.tryOnce(a)
		if !t.late() || again == 0 {
			return t
		}
	}
}

func (g *target) tryOnce(a *attack) *trial {
	t := &trial{
		Backend: g.backend.String(), Limits: g.limits.Name, Attack: a.name, What: a.what, Promise: a.promise,
		Peers: a.peers, server: g, attack: a,
	}
	var err error
	if t.Calm, err = t.measureCalm(); err == nil {
		err = t.run()
	}
	if err != nil {
		t.Failure = err.Error()
	}
	return t
}

// measureCalm returns the latency of the well-behaved streams without an attack.
func (t *trial) measureCalm() (latency, error) {
	g := t.server
	g.steady.resume()
	if _, err := g.steady.since(); err != nil {
		return latency{}, err
	}
	time.Sleep(g.timing.calm)
	return g.steady.since()
}

// run attacks, and checks.
func (t *trial) run() error {
	g := t.server
	forgetPeak(g.pid())
	var before serverAnswer
	if err := g.ask(serverQuestion{}, &before); err != nil {
		return err
	}
	task := attackTask{Attack: t.attack.name, Addresses: g.addresses, Peers: t.Peers, Content: g.limits.Content, Seed: rand.Uint64()}
	c, err := startChild("attack", task, &attackAnswer{})
	if err != nil {
		return err
	}
	defer c.kill()
	if err := t.endure(c, before.Stats.Accepts); err != nil {
		return err
	}
	if err := t.beQuiet(); err != nil {
		return err
	}
	if err := t.waitForLimits(); err != nil {
		return err
	}
	c.kill()
	if err := t.returnToRest(); err != nil {
		return err
	}
	for _, service := range t.attack.services {
		if err := g.probe(service); err != nil {
			return fmt.Errorf("after the attack: %w", err)
		}
	}
	return nil
}

// endure waits while the attack is on, and then has it stop. Before it the server had accepted so many connections.
func (t *trial) endure(c *child, accepts uint64) error {
	g := t.server
	before, err := scheduleOf(g.pid())
	if err != nil {
		return err
	}
	if err := t.waitForPeers(accepts); err != nil {
		return err
	}
	after, err := scheduleOf(g.pid())
	if err != nil {
		return err
	}
	g.steady.pause() // which waits for the answers to what they have sent
	if t.Attacked, err = g.steady.since(); err != nil {
		return err
	}
	if err := c.ask(silence{}, &t.Attackers); err != nil {
		return err
	}
	if t.Attackers.Failure != "" {
		return fmt.Errorf("the attackers: %s", t.Attackers.Failure)
	}
	if t.Peak, err = statusBytes(g.pid(), "VmHWM"); err != nil {
		return err
	}
	t.hold(latencyBound(t.Calm, t.Attacked, t.Peers/g.loops, after.minus(before)))
	most := g.rest.memory + g.limits.memory(t.Peers, t.attack.holds(&g.limits)) + reserve(g.backend, g.loops) + noiseMemory
	t.hold(memories("peak of resident memory", t.Peak, most))
	if t.attack.lasts != nil && g.limits.Patience > 0 {
		t.hold(durations("the longest that the server put up with a peer", t.Attackers.Oldest, t.attack.lasts(&g.limits)+noiseTime))
	}
	return nil
}

// waitForPeers waits while the attack is on; for longer if a slow machine has not connected half of the peers by then, and
// answered one message of the well-behaved streams.
func (t *trial) waitForPeers(accepts uint64) error {
	g := t.server
	time.Sleep(g.timing.attack)
	var a serverAnswer
	var err error
	ok := eventually(answerTime, func() bool {
		err = g.ask(serverQuestion{}, &a)
		return err != nil || a.Stats.Accepts-accepts >= uint64(t.Peers)/2 && g.steady.answered() > 0
	})
	if err == nil && !ok {
		err = fmt.Errorf("it was no attack: of %d peers the server accepted %d, and %d messages of well-behaved streams were answered",
			t.Peers, a.Stats.Accepts-accepts, g.steady.answered())
	}
	return err
}

// beQuiet looks at the turns of the loops while the attackers are connected and silent. What they had sent before may
// still take a while.
func (t *trial) beQuiet() error {
	g := t.server
	for end := time.Now().Add(5 * time.Second); ; {
		var a, b serverAnswer
		before, err := scheduleOf(g.pid())
		if err != nil {
			return err
		}
		if err := g.ask(serverQuestion{}, &a); err != nil {
			return err
		}
		time.Sleep(g.timing.quiet)
		if err := g.ask(serverQuestion{}, &b); err != nil {
			return err
		}
		after, err := scheduleOf(g.pid())
		if err != nil {
			return err
		}
		t.Silent = turnsBetween(&a, &b)
		t.Silent.CPU = 100 * after.minus(before).ran.Seconds() / (b.Time - a.Time).Seconds()
		if t.Silent.PerSecond <= quietTurns && t.Silent.CPU <= quietCPU || time.Now().After(end) {
			break
		}
	}
	t.hold(atMost("CPU in silence", t.Silent.CPU, quietCPU, "%"))
	t.hold(atMost("turns of a loop in a second of silence", max(t.Silent.PerSecond, 0), quietTurns, count))
	return nil
}

// waitForLimits waits until the server has got rid of its peers by itself, if it has limits for that.
func (t *trial) waitForLimits() error {
	g := t.server
	if g.limits.Patience == 0 {
		return nil
	}
	most := 3*g.limits.Patience + 500*time.Millisecond + noiseTime // in waves, where more wait than there may be; and in stages
	began := time.Now()
	var err error
	var left int
	eventually(most, func() bool {
		var a serverAnswer
		err = g.ask(serverQuestion{}, &a)
		left = a.Stats.Streams + a.Stats.Parked - g.rest.streams
		return err != nil || left <= 0
	})
	t.Gone = time.Since(began) + g.timing.quiet
	if err == nil {
		t.hold(atMost(fmt.Sprintf("silent peers after %v", most), float64(left), 0, count))
	}
	return err
}

// returnToRest waits until nothing is left of the attack, and holds what there is then against what was before.
func (t *trial) returnToRest() error {
	g := t.server
	began := time.Now()
	var a serverAnswer
	var err error
	most := g.rest.memory + reserve(g.backend, g.loops) + noiseMemory
	eventually(g.timing.rest, func() bool {
		if err = g.ask(serverQuestion{}, &a); err != nil {
			return true
		}
		if t.Descriptors, err = descriptors(g.pid()); err != nil {
			return true
		}
		s := &a.Stats
		if s.Streams > g.rest.streams || s.Parked > 0 || s.BuffersTaken > 0 || s.Sockets > g.rest.sockets || t.Descriptors > g.rest.descriptors {
			return false
		}
		if err = g.ask(serverQuestion{Tidy: true}, &a); err == nil {
			t.Memory, err = statusBytes(g.pid(), "VmRSS")
		}
		return err != nil || t.Memory <= detectorFactor*most
	})
	if err == nil && t.Memory == 0 { // it has not come to rest
		t.Memory, err = statusBytes(g.pid(), "VmRSS")
	}
	if err != nil {
		return err
	}
	t.After = time.Since(began)
	s := &a.Stats
	t.LongestTurn = s.LongestTurn
	t.hold(atMost("streams afterwards", float64(s.Streams+s.Parked), float64(g.rest.streams), count))
	t.hold(atMost("descriptors afterwards", float64(t.Descriptors), float64(g.rest.descriptors), count))
	t.hold(atMost("sockets of loops afterwards", float64(s.Sockets), float64(g.rest.sockets), count))
	t.hold(atMost("receive buffers taken afterwards", float64(s.BuffersTaken), 0, count))
	t.hold(memories("resident memory afterwards", t.Memory, most))
	t.hold(atMost("panics", float64(s.Panics), 0, count))
	return t.addUp(s.BytesIn, s.BytesDelivered+s.BytesDropped)
}

// addUp sees that no byte was lost in the figures. The well-behaved streams hold none.
func (t *trial) addUp(in, out uint64) error {
	if in != out {
		return fmt.Errorf("the server received %d bytes, and delivered or dropped %d", in, out)
	}
	return nil
}
