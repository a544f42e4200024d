//go:build linux

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
)

// backends are what -backend may name.
var backends = map[string]tandem.Options{
	"epoll": {Backend: tandem.Epoll},
	"uring": {Backend: tandem.Uring},
	"uring-tiny": {Backend: tandem.Uring,
		Uring: tandem.UringOptions{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}},
}

func main() {
	backend := flag.String("backend", "epoll", "epoll, uring or uring-tiny")
	length := flag.Duration("duration", time.Minute, "how long it runs")
	seed := flag.Uint64("seed", 0, "of what is drawn at random; 0: another one each time")
	page := flag.String("page", "", "the `file` of the page of figures, every minute and at the end; default: standard output")
	peer := flag.String("peer", "", "be a peer process with this seed; for the program itself")
	flag.Parse()
	if *peer != "" {
		n, err := strconv.ParseUint(*peer, 10, 64)
		if err != nil {
			os.Exit(2)
		}
		beAPeer(n)
		return
	}
	s, err := newSoak(*backend, *length, *seed, *page)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(2)
	}
	s.exit = func(status int) {
		_ = os.RemoveAll(s.dir)
		os.Exit(status)
	}
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupts
		s.over.Store(true) // when the present life has ended
		s.write()
		<-interrupts
		s.exit(130)
	}()
	_, _ = fmt.Fprintf(os.Stderr, "%s: seed %d\n", s.name, s.seed)
	if !s.run() {
		s.exit(1)
	}
	s.exit(0)
}

// newSoak makes a run. Its sockets are in a directory of their own.
func newSoak(backend string, length time.Duration, seed uint64, page string) (*soak, error) {
	o, ok := backends[backend]
	if !ok {
		return nil, fmt.Errorf("the backend %q is none of epoll, uring and uring-tiny", backend)
	}
	t, err := tandem.Open(&o)
	if err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	for seed == 0 {
		seed = rand.Uint64()
	}
	dir, err := os.MkdirTemp("", "soak")
	if err == nil && page != "" {
		page, err = filepath.Abs(page)
	}
	return &soak{name: backend, backend: o, seed: seed, length: length, page: page, dir: dir, exit: os.Exit}, err
}
