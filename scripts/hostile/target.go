//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tandem-io/tandem"
)

// timing is how long the parts of a trial take.
type timing struct {
	calm, attack, quiet time.Duration
	patience            time.Duration // of the server, with a peer that is silent
	rest                time.Duration // the longest until nothing is left of an attack
	every               time.Duration // a message of each well-behaved stream
	steady              int           // how many of those there are
}

// target is a server that runs, and its well-behaved streams.
type target struct {
	*child
	backend   tandem.Backend
	limits    limits
	loops     int
	timing    timing
	addresses map[string]string
	steady    *steadyStreams
	rest      resting
}

// resting is what the server holds at rest.
type resting struct {
	descriptors, sockets, streams int
	memory                        int64
}

// errMissing says that a backend cannot run here.
var errMissing = errors.New("the backend cannot run here")

// startTarget starts a server, lets its well-behaved streams run for a moment, and notes what it holds at rest.
func startTarget(task *serverTask, t timing) (*target, error) {
	var first serverAnswer
	c, err := startChild("serve", task, &first)
	if err != nil {
		return nil, err
	}
	if first.Failure != "" {
		c.kill()
		if first.Missing {
			return nil, fmt.Errorf("%w: %s", errMissing, first.Failure)
		}
		return nil, errors.New(first.Failure)
	}
	g := &target{child: c, backend: task.Backend, limits: task.Limits, loops: task.Loops, timing: t, addresses: first.Addresses}
	if g.steady, err = startSteady(first.Addresses[steadyService], t.steady, t.every); err == nil {
		time.Sleep(t.calm)
		err = g.settle()
	}
	if err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// settle notes what the server holds at rest.
func (g *target) settle() error {
	g.steady.pause()
	defer g.steady.resume()
	if err := g.probe(echoService); err != nil { // what is made once is made now
		return err
	}
	var err error
	ok := eventually(answerTime, func() bool {
		var a serverAnswer
		if err = g.ask(serverQuestion{Tidy: true}, &a); err != nil {
			return true
		}
		g.rest = resting{sockets: a.Stats.Sockets, streams: a.Stats.Streams}
		if g.rest.descriptors, err = descriptors(g.pid()); err == nil {
			g.rest.memory, err = statusBytes(g.pid(), "VmRSS")
		}
		return a.Stats.Streams == g.timing.steady
	})
	if err == nil && !ok {
		err = fmt.Errorf("the server has %d streams; it should have the %d well-behaved ones", g.rest.streams, g.timing.steady)
	}
	return err
}

func (g *target) stop() {
	if g.steady != nil {
		g.steady.stop()
	}
	g.kill()
}

// probe sees that a service takes connections.
func (g *target) probe(service string) error {
	var before, after serverAnswer
	if err := g.ask(serverQuestion{}, &before); err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", g.addresses[service], answerTime/2)
	if err != nil {
		return err
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	defer func() { _ = c.Close() }()
	ok := eventually(answerTime/2, func() bool {
		err = g.ask(serverQuestion{}, &after)
		return err != nil || after.Listeners[service].Accepted > before.Listeners[service].Accepted
	})
	if err == nil && !ok {
		err = fmt.Errorf("the service %s does not accept", service)
	}
	return err
}

// eventually waits until done reports true, and reports whether it did in time.
func eventually(patience time.Duration, done func() bool) bool {
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
