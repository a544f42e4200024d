package difftest

// phase is how far a stream has come.
type phase uint8

const (
	alive   phase = iota
	closing       // Close was called, and the peer does not take what is queued
	over          // OnClose has run
)

// state is what is known of a stream before the program runs. It decides which operations have an outcome that every
// kernel shares; the outcome itself is for package net to find.
type state struct {
	Config
	phase phase

	keep, paused bool
	sent, read   int  // bytes that the peer has written, and of these those that were read here
	taken        int  // of these, those that operations have read
	held         int  // unread bytes that the stream holds for sure
	full         bool // it may have stopped at ReadBufferLimit
	finished     bool // by the peer
	reset        bool // by the peer
	eof          bool // OnEOF has run
	dead         bool // the peer is gone, and the stream learns of it when it writes

	stopped    bool // the peer reads nothing
	flooded    bool // and more is queued than kernel and HighWater hold
	out        int  // bytes written
	outRead    int  // of these, those that the peer has read
	fin        bool // CloseWrite was called
	writableLo int  // how often OnWritable was called
	writableHi int

	conn       bool // there is a Conn
	connShut   bool
	connClosed bool
}

// Sizes on which kernels agree, in bytes.
const (
	fits      = 8 << 10   // any socket buffer takes it at once
	handedOn  = 32 << 10  // any socket buffer of default size holds it
	flood     = 512 << 10 // more than the buffers of a tight stream hold, and HighWater beside
	gathers   = 64 << 10  // from here on a turn's writes go out before it ends
	mostFlood = 8 << 20   // below the default WriteBufferLimit
)

func newState(c Config) state { return state{Config: c, keep: c.Keep} }

// unread is how much of what the peer wrote was not read.
func (s *state) unread() int { return s.sent - s.read }

// exact reports whether Buffered is the same everywhere.
func (s *state) exact() bool { return s.held == s.unread() }

func (s *state) limit() int {
	if s.ReadLimit > 0 {
		return s.ReadLimit
	}
	return 1 << 20
}

func (s *state) highWater() int {
	if s.HighWater > 0 {
		return s.HighWater
	}
	return 128 << 10
}

// reading reports whether the stream takes what comes.
func (s *state) reading() bool {
	return s.phase == alive && !s.paused && (!s.flooded || s.ReadWhileBlocked)
}

// mayStop reports whether the stream does not read because it holds too much, or will not. What it learns of the peer's end
// then depends on how much the kernel has handed over.
func (s *state) mayStop() bool {
	return s.phase != over && (s.full || s.keep && s.unread() >= s.limit())
}

// hears reports whether what the peer does now is reported at once.
func (s *state) hears() bool {
	return s.reading() && !s.finished && !s.reset && !s.full
}

// canSend reports whether a small write reaches the kernel at once.
func (s *state) canSend(n int) bool {
	return s.phase == alive && !s.fin && !s.dead && !s.flooded && (!s.stopped || s.out-s.outRead+n <= fits)
}

// notified is how much a WriteNotify writes in whose function others run.
const notified = 100

// place is where operations can run, and how many bytes cause it.
func (s *state) place(at Place, ops []Op) (Place, int) {
	switch at {
	case InOpen:
		return at, 0
	case InData:
		n := 1 + int(ops[0].Arg)*16
		if s.keep {
			n = min(n, s.limit()-s.unread()-1) // at the limit it stops, or not if what runs in OnData reads
		}
		if s.hears() && n > 0 {
			return at, n
		}
	case InEOF:
		if s.hears() {
			return at, 0
		}
	case InWritable:
		if s.canSend(s.highWater() + 1) {
			return at, s.highWater() + 1
		}
	case InNotify:
		if s.canSend(notified) {
			return at, notified
		}
	case InClose:
		if s.phase == alive && !s.flooded {
			return at, 0
		}
	case InPost, InTimer:
		if s.phase != over {
			return at, 0
		}
	}
	if s.phase == over || at == OffLoop {
		return OffLoop, 0
	}
	return InPost, 0
}

// settle is what follows when everything has come that a step causes.
func (l *planner) settle(i int) {
	s := &l.m[i]
	if s.phase == closing && !s.flooded {
		s.phase = over
	}
	if s.reading() {
		l.receive(i)
	}
	if s.reading() && s.finished && !s.full && !s.eof {
		s.eof = true
		if !s.AllowHalfClose {
			l.closes(s, i)
		}
	}
	if s.phase == closing && !s.flooded {
		s.phase = over
	}
	if !s.stopped {
		s.outRead = s.out
	}
}

// receive follows that a stream reads from the kernel, up to its limit, and goes on below half of it.
func (l *planner) receive(i int) {
	s := &l.m[i]
	if !s.keep {
		s.read, s.held, s.full = s.sent, 0, false
		return
	}
	unread, half := s.unread(), (s.limit()+1)/2
	switch {
	case s.full && unread < half, !s.full && unread < s.limit():
		s.full = false
		s.held = unread
	case !s.full:
		s.full = true
		s.held = s.limit()
	default:
		s.held = max(s.held, min(unread, half))
	}
	if s.full {
		l.loose[i].seen[len(l.steps)] = true
		l.loose[i].seen[len(l.steps)+1] = true
	}
}

// closes follows Close. Bytes that the kernel has and nobody has read are discarded up to a limit, and beyond it cause a
// reset.
func (l *planner) closes(s *state, i int) {
	if s.phase != alive {
		return
	}
	if s.unread()-s.held > min(s.limit(), handedOn) || s.unread() > s.limit() {
		l.loosenOut(i)
	}
	s.phase = closing
}

// loosenOut says that the peer need not get what it has not read, nor learn how the stream has ended.
func (l *planner) loosenOut(i int) {
	w := &l.loose[i]
	w.ends = true
	if !w.out {
		w.out, w.outFrom, w.outStep = true, l.m[i].outRead, len(l.steps)
	}
}
