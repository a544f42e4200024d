//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/tandem-io/tandem"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// relayNet is a proxy by io.Copy between *net.TCPConns, which is splice(2).
func relayNet(target string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	one := func(to, from *net.TCPConn) {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", target)
			if err != nil {
				_ = a.Close()
				continue
			}
			go one(a.(*net.TCPConn), b.(*net.TCPConn))
			go one(b.(*net.TCPConn), a.(*net.TCPConn))
		}
	}()
	return l.Addr().String(), nil
}

// relayHandler dials the target for each stream, and joins the two.
type relayHandler struct {
	tandem.BaseHandler
	t      tandem.Transport
	target string
}

func (h relayHandler) OnOpen(s *tandem.Stream) {
	to, err := h.t.Connect("tcp", h.target, tandem.BaseHandler{}, &tandem.DialOptions{SameLoop: s})
	if err != nil || tandem.Relay(s, to, nil) != nil {
		_ = s.Abort()
	}
}

func relayTandem(backend, target string) (string, error) {
	t, err := open(backend)
	if err != nil {
		return "", err
	}
	l, err := t.Listen("tcp", "127.0.0.1:0", relayHandler{t: t, target: target}, nil)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), nil
}

func open(backend string) (tandem.Transport, error) {
	o := &tandem.Options{Loops: 1, Logger: slog.New(slog.DiscardHandler)}
	if err := o.Backend.UnmarshalText([]byte(backend)); err != nil {
		return nil, err
	}
	return tandem.Open(o)
}

func measureRelay(flags *flag.FlagSet, args []string) error {
	size := flags.Int("size", 1024, "MiB that go each way on each connection")
	rounds := flags.Int("rounds", 5, "how often each server is measured")
	conns := flags.Int("conns", 1, "connections at a time")
	ways := flags.Int("ways", 2, "1: the client sends; 2: the target sends back as much at the same time")
	_ = flags.Parse(args)
	if err := pin(1); err != nil {
		return err
	}
	load := newTransfers(*size<<20, *conns, *ways)
	target, err := load.listen()
	if err != nil {
		return err
	}
	total := float64(*size) / 1024 * float64(*conns) * float64(*ways)
	return compare([]string{"relay-net", "relay-epoll", "relay-uring"}, *rounds, "GiB", func(name string) (time.Duration, error) {
		c, err := startChild(name, target)
		if err != nil {
			return 0, err
		}
		err = load.run(c.address)
		cpu, endErr := c.end()
		return time.Duration(float64(cpu) / total), errors.Join(err, endErr)
	})
}

// transfers are connections on which both ends send, and check what comes.
type transfers struct {
	size, conns, ways int
	noise             []byte
	sum               uint32 // of size bytes of noise, again and again
	results           chan error
}

func newTransfers(size, conns, ways int) *transfers {
	x := &transfers{size: size, conns: conns, ways: ways, noise: make([]byte, 1<<20), results: make(chan error, 4*conns)}
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(x.noise)
	for left := size; left > 0; left -= len(x.noise) {
		x.sum = crc32.Update(x.sum, castagnoli, x.noise[:min(left, len(x.noise))])
	}
	return x
}

func (x *transfers) listen() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				x.results <- x.both(c.(*net.TCPConn), x.ways == 2, true)
			}()
		}
	}()
	return l.Addr().String(), nil
}

// both sends and receives at one end of a connection, at the same time.
func (x *transfers) both(c *net.TCPConn, sends, receives bool) error {
	defer c.Close()
	var all sync.WaitGroup
	var sendErr, receiveErr error
	all.Go(func() {
		for left := x.size; sends && left > 0 && sendErr == nil; left -= len(x.noise) {
			_, sendErr = c.Write(x.noise[:min(left, len(x.noise))])
		}
		sendErr = errors.Join(sendErr, c.CloseWrite())
	})
	all.Go(func() { receiveErr = x.receive(c, receives) })
	all.Wait()
	return errors.Join(sendErr, receiveErr)
}

func (x *transfers) receive(c net.Conn, wants bool) error {
	p := make([]byte, 256<<10)
	sum, got := uint32(0), 0
	for {
		n, err := c.Read(p)
		sum = crc32.Update(sum, castagnoli, p[:n])
		got += n
		switch {
		case err == io.EOF && !wants && got == 0, err == io.EOF && wants && got == x.size && sum == x.sum:
			return nil
		case err != nil:
			return fmt.Errorf("%d bytes with the sum %#x, not %d with %#x: %w", got, sum, x.size, x.sum, err)
		}
	}
}

// run sends through a proxy, and waits until both ends have all.
func (x *transfers) run(address string) (err error) {
	for range x.conns {
		c, dialErr := net.Dial("tcp", address)
		if dialErr != nil {
			return dialErr
		}
		go func() { x.results <- x.both(c.(*net.TCPConn), true, x.ways == 2) }()
	}
	for range 2 * x.conns {
		select {
		case one := <-x.results:
			err = errors.Join(err, one)
		case <-time.After(2 * time.Minute):
			return errors.New("a transfer does not end")
		}
	}
	return err
}
