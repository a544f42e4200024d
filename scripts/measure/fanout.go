//go:build linux

package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// A fan-out server sends each line that the first connection sends to all others. A subscriber that is slow misses lines.

// fanOutNet has a goroutine and a channel for each subscriber.
func fanOutNet(string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		publisher, err := l.Accept()
		if err != nil {
			return
		}
		var mu sync.Mutex
		subscribers := map[net.Conn]chan []byte{}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				lines := make(chan []byte, 64)
				mu.Lock()
				subscribers[c] = lines
				mu.Unlock()
				go func() {
					for line := range lines {
						if _, err := c.Write(line); err != nil {
							return
						}
					}
				}()
				_, _ = c.Write([]byte("\n"))
			}
		}()
		r := bufio.NewReader(publisher)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			mu.Lock()
			for _, lines := range subscribers {
				select {
				case lines <- line:
				default:
				}
			}
			mu.Unlock()
		}
	}()
	return l.Addr().String(), nil
}

// topic is the handler of publisher and subscribers.
type topic struct {
	tandem.BaseHandler
	t         tandem.Transport
	publisher tandem.Handler
	mu        sync.Mutex // guards what follows
	begun     bool
	all       map[*tandem.Stream]struct{}
}

func fanOutTandem(backend string) (string, error) {
	t, err := open(backend)
	if err != nil {
		return "", err
	}
	h := &topic{t: t, all: map[*tandem.Stream]struct{}{}}
	h.publisher = session.Frames[[]byte](frame.Line{}, func(_ *tandem.Stream, line []byte) { h.publish(line) })
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), nil
}

func (h *topic) OnOpen(s *tandem.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.begun {
		h.begun = true
		s.SetHandler(h.publisher)
		return
	}
	h.all[s] = struct{}{}
	_, _ = s.Write([]byte("\n"))
}

func (h *topic) OnClose(s *tandem.Stream, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, s)
}

func (h *topic) publish(line []byte) {
	b := tandem.NewBuffer(h.t, append(line[:len(line):len(line)], '\n'))
	h.mu.Lock()
	for s := range h.all {
		if !s.Writable() {
			continue
		}
		if share := b.Share(); s.WriteBuffer(share) != nil {
			share.Release()
		}
	}
	h.mu.Unlock()
	b.Release()
}

func measureFanOut(flags *flag.FlagSet, args []string) error {
	subscribers := flags.Int("subscribers", 500, "connections that get each message")
	messages := flags.Int("messages", 400, "messages that are sent")
	size := flags.Int("size", 256, "bytes of a message")
	inFlight := flags.Int("in-flight", 1, "messages that are sent before the subscribers have the first of them")
	rounds := flags.Int("rounds", 5, "how often each server is measured")
	_ = flags.Parse(args)
	if err := pin(1); err != nil {
		return err
	}
	deliveries := time.Duration(*subscribers * *messages)
	return compare([]string{"fanout-net", "fanout-epoll", "fanout-uring"}, *rounds, "delivery", func(name string) (time.Duration, error) {
		c, err := startChild(name, "")
		if err != nil {
			return 0, err
		}
		err = fanOut(c.address, *subscribers, *messages, *size, *inFlight)
		cpu, endErr := c.end()
		return cpu / deliveries, errors.Join(err, endErr)
	})
}

// fanOut publishes messages, and checks that every subscriber gets each.
func fanOut(address string, subscribers, messages, size, inFlight int) error {
	publisher, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer publisher.Close()
	time.Sleep(50 * time.Millisecond) // it is the first that the server accepts
	batch := make([]byte, 0, inFlight*size)
	for i := range inFlight {
		line := fmt.Appendf(nil, "%*d\n", size-1, i)
		batch = append(batch, line...)
	}
	got := make(chan error, subscribers)
	again := make([]chan struct{}, subscribers)
	for i := range subscribers {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // it is one of the subscribers now
			return err
		}
		again[i] = make(chan struct{}, 1)
		go subscribe(c, batch, again[i], got)
	}
	for range messages / inFlight {
		for _, next := range again {
			next <- struct{}{}
		}
		if _, err := publisher.Write(batch); err != nil {
			return err
		}
		for range subscribers {
			if err := <-got; err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribe reads a batch each time it is told to.
func subscribe(c net.Conn, batch []byte, again <-chan struct{}, got chan<- error) {
	p := make([]byte, len(batch))
	for range again {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := io.ReadFull(c, p)
		if err == nil && string(p) != string(batch) {
			err = errors.New("a subscriber got other bytes")
		}
		got <- err
	}
}
