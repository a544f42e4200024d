package httpsession

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// requestContext is the context of a request: it ends when the exchange does. Most handlers never wait for that, so what others
// wait for is made when somebody asks. Any goroutine may use it.
type requestContext struct {
	parent context.Context // which never ends

	mu     sync.Mutex // guards what follows
	over   bool
	asked  context.Context // nil: nobody has asked for Done
	cancel context.CancelFunc
}

var _ context.Context = (*requestContext)(nil)

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == nil {
		c.asked, c.cancel = context.WithCancel(c.parent)
		if c.over {
			c.cancel()
		}
	}
	return c.asked.Done()
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.asked != nil:
		return c.asked.Err() // not before Done is closed, and there is a cause
	case c.over:
		return context.Canceled
	}
	return nil
}

// String returns what that of a context of package context does, also while others use c.
func (c *requestContext) String() string { return fmt.Sprint(c.parent) + ".WithCancel" }

// Value implements context.Context. Package context asks it for what Done has made, so that a context below this one needs no
// goroutine.
func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	from := c.asked
	c.mu.Unlock()
	if from == nil {
		from = c.parent
	}
	return from.Value(key)
}

// end ends the context.
func (c *requestContext) end() {
	c.mu.Lock()
	c.over = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
