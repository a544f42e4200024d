package session

// coroutine is a function on a goroutine of its own that runs only while its owner waits for it, in next and stop. The
// owner may be one goroutine after the other, locked to a thread or not, as the driver of a loop demands or its user likes;
// one of iter.Pull may only go on under the same lock under which it was made, and ends the program otherwise.
type coroutine struct {
	goOn  chan bool // true: go on; false: end soon
	waits chan bool // true: it waits for goOn; closed: it has ended
}

// newCoroutine makes a coroutine of fn, which begins with the first next. fn calls wait to have next return, and to wait
// for the following next. wait reports false if there will be none: then fn is to return. A coroutine whose fn ends its
// goroutine has ended.
func newCoroutine(fn func(wait func() bool)) *coroutine {
	c := &coroutine{goOn: make(chan bool), waits: make(chan bool)}
	go func() {
		defer close(c.waits)
		if <-c.goOn {
			fn(c.wait)
		}
	}()
	return c
}

func (c *coroutine) wait() bool {
	c.waits <- true
	return <-c.goOn
}

// next runs the coroutine until it waits or has ended, and reports whether it waits. It must not have ended before.
func (c *coroutine) next() (waits bool) {
	c.goOn <- true
	return <-c.waits
}

// stop has a coroutine that has not ended run to its end.
func (c *coroutine) stop() {
	for waits := true; waits; waits = <-c.waits {
		c.goOn <- false
	}
}
