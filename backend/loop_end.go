package backend

// Die ends a loop whose goroutine is being ended by a callback, and returns why.
func (l *Loop) Die(err error) error {
	l.failed = err
	return l.End()
}

// Own makes the calling goroutine the loop's, for what has to be done after its end.
func (l *Loop) Own() { l.owner.Store(goroutine()) }

// Disown ends that, and shows what has been counted since. The driver is closed: the kernel has nothing of it any longer.
func (l *Loop) Disown() {
	l.shared.publish(&l.Count)
	l.left[0].Store(0)
	l.left[1].Store(0)
	l.owner.Store(0)
}
