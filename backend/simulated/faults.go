package simulated

// Faults are how likely each kind of misbehaviour is whenever there is an occasion for it: from 0, never, to 1, always.
type Faults struct {
	ShortRead  float64 // a receive brings fewer bytes than there are
	ShortWrite float64 // a send takes fewer bytes than there is room for
	Again      float64 // a call finds nothing to do, or no room, although it was told that there is
	Interrupt  float64 // a sleep ends early
	Delay      float64 // a segment, or a completion, is late
	Scarcity   float64 // a descriptor or memory is short: EMFILE, ENFILE, ENOBUFS, ENOMEM
	Abort      float64 // a connection is gone when it is accepted
	Reset      float64 // a segment that arrives is a reset instead
	Refuse     float64 // a connect is refused
	Instant    float64 // a connect within the host is over when it has begun
	Stall      float64 // time passes, up to 2 ms, when the clock is read

	// Of drivers with completions.

	Missed   float64 // a cancellation finds nothing although the request lives
	Overflow float64 // the completion queue is full when a completion comes
	NoBuffer float64 // a receive finds no buffer
	Ended    float64 // a request that would have gone on ends
}

// Nasty are the faults with which a test should begin: everything happens, and most things work.
func Nasty() Faults {
	return Faults{
		ShortRead: 0.3, ShortWrite: 0.3, Again: 0.1, Interrupt: 0.1, Delay: 0.2, Scarcity: 0.02, Abort: 0.02, Reset: 0.002,
		Refuse: 0.02, Instant: 0.2, Stall: 0.001, Missed: 0.2, Overflow: 0.05, NoBuffer: 0.05, Ended: 0.1,
	}
}

// Rough are faults that no peer and no program should notice: nothing is short, and no connection fails.
func Rough() Faults {
	f := Nasty()
	f.Scarcity, f.Abort, f.Reset, f.Refuse = 0, 0, 0, 0
	return f
}
