package session

import "sync"

// maxClosers is how many files are being closed at a time. If the close of so many does not end, others stay open.
const maxClosers = 4

// fileCloser closes files of peers away from the loops: that may wait for whatever the file is, such as the server of a file
// system, or a socket that lingers.
type fileCloser struct {
	mu      sync.Mutex // guards what follows
	waiting []func()
	running int
}

// closeAway calls fn, which closes files, soon and on a goroutine that the engine's end waits for; where the engine has no
// goroutines, at once. Loop only: the engine has not ended.
func (c *fileCloser) closeAway(e *Engine, fn func()) {
	if e.driven {
		fn()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, fn)
	if c.running < maxClosers {
		c.running++
		e.dials.Go(c.run)
	}
}

func (c *fileCloser) run() {
	for {
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.waiting = nil
			c.running--
			c.mu.Unlock()
			return
		}
		fn := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		c.mu.Unlock()
		fn()
	}
}
