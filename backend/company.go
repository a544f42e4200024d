package backend

// company tells a ParkingDriver whether other goroutines are at work with its loop: whether they have posted to it, or
// written to its streams, during one of the last few sleeps. A goroutine of the program that is to run next does not wait
// for the loop's thread then.
type company struct {
	driver ParkingDriver // nil: the driver has one way to sleep
	tasks  uint64        // that the loop has run
	seen   uint64        // tasks and writes as of the last sleep
	left   int           // how many sleeps are yet to be parked
}

// stays is for how many sleeps others are taken to be at work after they have last been seen.
const stays = 16

// present reports whether others are at work. It comes before each sleep.
func (c *company) present(writes uint64) bool {
	if now := c.tasks + writes; now != c.seen {
		c.seen, c.left = now, stays
	} else if c.left > 0 {
		c.left--
	}
	return c.left > 0
}
