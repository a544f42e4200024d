package backend

// Some calls mean one thing on a loop's own goroutine and another anywhere else: a write is gathered there and sent at
// once here; a wait for the loop is a deadlock there and normal here. Go does not tell which goroutine runs, so the
// address of its descriptor (the runtime's g) is used, which is unique among live goroutines and never moves. Nothing
// is read through it, so no layout is assumed.

// goroutine returns a number that no other live goroutine has. It is never 0.
func goroutine() uintptr { return getg() }
