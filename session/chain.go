package session

// chain is a queue of what comes seldom: it takes one word while it is empty, and nothing is left of what was in it.
type chain[T any] struct {
	last *link[T] // whose next is the first one; nil: it is empty
}

type link[T any] struct {
	value T
	next  *link[T]
}

func (c *chain[T]) empty() bool { return c.last == nil }

// push puts v behind all others.
func (c *chain[T]) push(v T) {
	l := &link[T]{value: v}
	if c.last == nil {
		l.next = l
	} else {
		l.next, c.last.next = c.last.next, l
	}
	c.last = l
}

// first returns the one that pop takes, or nil.
func (c *chain[T]) first() *link[T] {
	if c.last == nil {
		return nil
	}
	return c.last.next
}

// pop takes the first one out, or returns nil.
func (c *chain[T]) pop() *link[T] {
	l := c.first()
	switch {
	case l == nil:
	case l == c.last:
		c.last = nil
	default:
		c.last.next = l.next
	}
	return l
}
