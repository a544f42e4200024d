//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// steadyStreams are the well-behaved ones: each sends a small message at regular times, and waits for its echo.
type steadyStreams struct {
	conns  []net.Conn
	every  time.Duration
	paused atomic.Bool
	idle   atomic.Int64 // streams that wait in a pause
	done   sync.WaitGroup
	ending atomic.Bool

	mu        sync.Mutex // guards what follows
	latencies []time.Duration
	stall     time.Duration // the longest time for which this process itself could not run
	failure   error         // the first
}

// messageSize is the size of the messages of well-behaved streams.
const messageSize = 64

func startSteady(address string, n int, every time.Duration) (*steadyStreams, error) {
	s := &steadyStreams{every: every}
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			s.stop()
			return nil, err
		}
		s.conns = append(s.conns, c)
	}
	for i, c := range s.conns {
		s.done.Go(func() { s.converse(c, every*time.Duration(i)/time.Duration(n)) })
	}
	s.done.Go(s.watchStalls)
	return s, nil
}

// converse is the life of one stream. A message that is due while the one before it has no answer yet counts from the
// time when it was due.
func (s *steadyStreams) converse(c net.Conn, first time.Duration) {
	message, answer := make([]byte, messageSize), make([]byte, messageSize)
	due := time.Now().Add(first)
	for n := byte(0); !s.ending.Load(); n++ {
		if time.Until(due) > 0 {
			time.Sleep(time.Until(due))
			due = time.Now() // to be late here is not the server's fault
		}
		if s.paused.Load() {
			s.waitInPause()
			due = time.Now()
			continue
		}
		message[0] = n
		_ = c.SetDeadline(time.Now().Add(answerTime))
		_, err := c.Write(message)
		if err == nil {
			_, err = io.ReadFull(c, answer)
		}
		if err == nil && answer[0] != n {
			err = fmt.Errorf("the answer to message %d is that to %d", n, answer[0])
		}
		if s.note(time.Since(due), err); err != nil {
			return
		}
		due = due.Add(s.every)
	}
}

func (s *steadyStreams) waitInPause() {
	s.idle.Add(1)
	defer s.idle.Add(-1)
	for s.paused.Load() && !s.ending.Load() {
		time.Sleep(time.Millisecond)
	}
}

func (s *steadyStreams) note(latency time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.latencies = append(s.latencies, latency)
	} else if s.failure == nil && !s.ending.Load() {
		s.failure = fmt.Errorf("a well-behaved stream: %w", err)
	}
}

// watchStalls notes for how long this process did not run although it should have.
func (s *steadyStreams) watchStalls() {
	const nap = 2 * time.Millisecond
	for !s.ending.Load() {
		began := time.Now()
		time.Sleep(nap)
		late := time.Since(began) - nap
		s.mu.Lock()
		s.stall = max(s.stall, late)
		s.mu.Unlock()
	}
}

// latency is what well-behaved streams have seen.
type latency struct {
	Messages int
	P50, P99 time.Duration
	Stall    time.Duration // the longest of this process itself
}

// since returns what the streams have seen since the last call.
func (s *steadyStreams) since() (latency, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.latencies)
	l := latency{Messages: len(s.latencies), Stall: s.stall, P50: quantile(s.latencies, 0.5), P99: quantile(s.latencies, 0.99)}
	s.latencies, s.stall = nil, 0
	return l, s.failure
}

// answered is how many messages were answered since then.
func (s *steadyStreams) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.latencies)
}

// quantile returns the value below which the part q of sorted lies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// pause stops the streams, and returns when none of them waits for an answer.
func (s *steadyStreams) pause() {
	s.paused.Store(true)
	for end := time.Now().Add(answerTime); int(s.idle.Load()) < len(s.conns) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (s *steadyStreams) resume() { s.paused.Store(false) }

func (s *steadyStreams) stop() {
	s.ending.Store(true)
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.done.Wait()
}
