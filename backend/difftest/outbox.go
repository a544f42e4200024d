package difftest

import (
	"errors"
	"net"
	"sync"
	"time"
)

// outbox is what a reference writes: in order, on a goroutine of its own, since a net.Conn waits.
type outbox struct {
	c    net.Conn
	told func(notify string, err error)

	mu      sync.Mutex
	items   []item
	written int // bytes that were given to push
	busy    bool
	err     error // of the connection
	stopped bool
}

// item is a write, the FIN, or the end.
type item struct {
	b      []byte
	notify string // whom to tell, or ""
	fin    bool
	last   bool // close the connection
}

// push adds items, and starts the goroutine if there is none.
func (o *outbox) push(items ...item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.items = append(o.items, items...)
	for _, i := range items {
		o.written += len(i.b)
	}
	if !o.busy && len(o.items) > 0 {
		o.busy = true
		go o.run()
	}
}

func (o *outbox) run() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.items) > 0 && o.err == nil {
		i := o.items[0]
		o.mu.Unlock()
		var err error
		switch {
		case i.fin:
			_ = o.c.(interface{ CloseWrite() error }).CloseWrite()
		case i.last:
			_ = o.c.Close()
		case len(i.b) > 0:
			_, err = o.c.Write(i.b)
		}
		o.mu.Lock()
		if o.stopped {
			break // drop has told all
		}
		o.err = err
		if err == nil {
			o.items = o.items[1:]
			o.tellLocked(i, nil)
		}
	}
	o.busy = false
}

func (o *outbox) tellLocked(i item, err error) {
	if i.notify != "" {
		o.told(i.notify, err)
	}
}

// drop drops everything, and tells cause.
func (o *outbox) drop(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	for _, i := range o.items {
		o.tellLocked(i, cause)
	}
	o.items = nil
}

// idle reports whether everything is written, and the error if writing has failed.
func (o *outbox) idle() (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items) == 0 && !o.busy, o.err
}

// floods reports whether what comes next is more than the peer takes.
func (o *outbox) floods() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil || len(o.items) > 0 && len(o.items[0].b) == flood
}

// await waits until everything is written, or writing has failed.
func (o *outbox) await() error {
	late := errors.New("difftest: the peer of the reference does not take what is written")
	if !waitFor(patience, func() bool {
		idle, err := o.idle()
		return idle || err != nil
	}) {
		return late
	}
	_, err := o.idle()
	return err
}

func waitFor(most time.Duration, done func() bool) bool {
	pause := 10 * time.Microsecond // most events come soon
	for deadline := time.Now().Add(most); ; time.Sleep(pause) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		pause = min(2*pause, time.Millisecond)
	}
}
