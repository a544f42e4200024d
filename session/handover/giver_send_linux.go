package handover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// How items go out: within what the new process allows, one at a time, and in the order of their numbers.

// give sends an item, and returns nil when it is the new process's. The descriptors stay the caller's.
func (g *Giver) give(ctx context.Context, item Item, fds []int) error {
	h, fields := item.fields()
	h.files = len(fds)
	size := 0
	for _, f := range fields {
		size += 4 + len(f)
	}
	switch {
	case size > g.limit || len(fields[0]) > maxName:
		return ErrTooLarge
	case h.files > maxFiles:
		return fmt.Errorf("%d sockets, and %d can be sent at a time: %w", h.files, maxFiles, ErrTooLarge)
	}
	h.length = size
	if err := g.reserve(ctx, size); err != nil {
		return err
	}
	defer g.land(size)
	number, answered, err := g.send(ctx, h, fds, appendFields(make([]byte, 0, size), fields...))
	if err != nil {
		return err
	}
	select {
	case a := <-answered:
		if a.refused != nil {
			return a.refused
		}
		err = g.say(ctx, header{kind: kindYours, number: number})
	case <-ctx.Done():
		err = ctx.Err()
	case <-g.failed:
		return g.Err()
	}
	if err != nil {
		g.keep(number)
	}
	return err
}

// reserve waits for room for an item on its way.
func (g *Giver) reserve(ctx context.Context, size int) error {
	for {
		g.mu.Lock()
		if g.flying < g.items && g.bytes+size <= g.limit {
			g.flying++
			g.bytes += size
			g.mu.Unlock()
			return nil
		}
		landed := g.landed
		g.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.failed:
			return g.Err()
		}
	}
}

// land gives room back.
func (g *Giver) land(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying--
	g.bytes -= size
	close(g.landed)
	g.landed = make(chan struct{})
}

// send sends an item with the next number. Items are sent in the order of their numbers.
func (g *Giver) send(ctx context.Context, h header, fds []int, payload []byte) (number uint64, answered chan answer, err error) {
	if err := g.enter(ctx); err != nil {
		return 0, nil, err
	}
	defer g.leave()
	answered = make(chan answer, 1)
	g.mu.Lock()
	g.last++
	h.number = g.last
	g.waiting[h.number] = answered
	g.mu.Unlock()
	begun, err := g.ch.send(ctx, h, fds, payload)
	if err == nil {
		return h.number, answered, nil
	}
	g.mu.Lock()
	delete(g.waiting, h.number)
	if !begun {
		g.last--
	}
	g.mu.Unlock()
	if begun || ctx.Err() == nil && !transient(err) {
		g.fail(err)
	}
	return 0, nil, err
}

// transient reports whether a message could not be sent because of the moment: the kernel bounds how many descriptors of a
// user are on their way, unix(7), and its memory.
func transient(err error) bool {
	return errors.Is(err, unix.ETOOMANYREFS) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// say sends a message without payload.
func (g *Giver) say(ctx context.Context, h header) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	begun, err := g.ch.send(ctx, h, nil, nil)
	if err != nil && (begun || ctx.Err() == nil) {
		g.fail(err)
	}
	return err
}

// keep tells the new process that an item has stayed here. It does not wait.
func (g *Giver) keep(number uint64) {
	g.mu.Lock()
	delete(g.waiting, number)
	g.control = append(g.control, header{kind: kindKept, number: number})
	g.mu.Unlock()
	select {
	case g.turn <- struct{}{}:
		g.leave()
	default: // who sends now sends that, too
	}
}

// enter waits for the turn to send.
func (g *Giver) enter(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-g.failed:
		return g.Err()
	}
	g.sayKept()
	if err := g.Err(); err != nil {
		g.leave()
		return err
	}
	return nil
}

// controlPatience bounds how long KEPT may take, of which 16 bytes have to find room.
const controlPatience = 5 * time.Second

// leave gives the turn back, when it has sent what others have left to be sent.
func (g *Giver) leave() {
	for {
		g.sayKept()
		g.mu.Lock()
		if len(g.control) == 0 || g.err != nil {
			<-g.turn // under mu, so that keep finds the turn free, or what it leaves is seen here
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
	}
}

// sayKept sends what others have left to be sent. The caller has the turn.
func (g *Giver) sayKept() {
	g.mu.Lock()
	todo := g.control
	g.control = nil
	g.mu.Unlock()
	if len(todo) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	for _, h := range todo {
		if _, err := g.ch.send(ctx, h, nil, nil); err != nil {
			g.fail(err)
			return
		}
	}
}
