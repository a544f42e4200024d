package difftest

import (
	"fmt"
	"strings"
)

// Program is what one run does: some streams, and operations on them and on their peers, one after another. Every byte
// string is one, by Decode.
type Program struct {
	Streams []Config
	Ops     []Op
}

// Config says how a stream comes to be, and which limits it has.
type Config struct {
	Unix             bool
	Dialled          bool
	AllowHalfClose   bool
	ReadWhileBlocked bool
	Tight            bool // small socket buffers on the way to the peer, so that a peer can stop the stream
	Keep             bool // the handler leaves bytes unread
	SmallQueue       bool // WriteBufferLimit is smallQueue
	SmallBudget      bool // TurnBudget is smallBudget
	ReadLimit        int  // ReadBufferLimit; 0: default
	HighWater        int  // 0: default
}

// The sizes of a Config's limits, in bytes.
const (
	smallQueue  = 160 << 10
	smallBudget = 4 << 10
)

var (
	readLimits = [...]int{0, 1, 4 << 10, 64 << 10}
	highWaters = [...]int{0, 1 << 10, 16 << 10, 100 << 10}
)

// Op is one operation.
type Op struct {
	Kind   Kind
	Stream int
	Place  Place
	With   bool // it runs in the same callback as the one before, if both have the same stream
	Join   bool // the next operation does not wait for what this one causes
	Arg    byte // a size or the like
}

// Kind is what an operation does.
type Kind uint8

// The kinds. Those up to Panic are calls of the stream's methods, by Place; then come the peer's, and those of a Conn
// that Detach has returned.
const (
	Write Kind = iota
	Writev
	WriteNotify
	Echo // Take, and WriteBuffer to another stream or the same
	Copy // WriteTo another stream or the same
	Flush
	CloseWrite
	Close
	Abort
	AbortWith
	Detach
	Pause
	Resume
	Peek
	Next
	Discard
	Read
	Take
	SetHandler
	After
	Stopped // After, and Stop
	Every
	Post
	Idle // SetIdleTimeout or SetReadIdleTimeout, which ends the stream
	Panic
	PeerWrite
	PeerFinish
	PeerReset
	PeerStop // reads no more
	PeerRead // reads again
	ConnWrite
	ConnRead
	ConnCloseWrite
	ConnClose
	ConnDeadline
	kinds
)

var kindNames = [kinds]string{
	"Write", "Writev", "WriteNotify", "Echo", "Copy", "Flush", "CloseWrite", "Close", "Abort", "AbortWith", "Detach",
	"PauseRead", "ResumeRead", "Peek", "Next", "Discard", "Read", "Take", "SetHandler", "After", "After+Stop", "Every",
	"Post", "SetIdleTimeout", "panic", "peer writes", "peer finishes", "peer resets", "peer stops reading",
	"peer reads again", "Conn.Write", "Conn.Read", "Conn.CloseWrite", "Conn.Close", "Conn.Read after its deadline",
}

// String is a name such as "CloseWrite".
func (k Kind) String() string { return kindNames[k] }

func (k Kind) isPeers() bool { return k >= PeerWrite && k <= PeerRead }
func (k Kind) isConns() bool { return k >= ConnWrite }
func (k Kind) reads() bool   { return k >= Peek && k <= Take || k == Echo || k == Copy }
func (k Kind) writes() bool  { return k <= Copy }
func (k Kind) onLoop() bool  { return k.reads() || k == SetHandler || k == Panic }
func (k Kind) ends() bool {
	return k == Close || k == Abort || k == AbortWith || k == Detach || k == Panic
}

// Place is where an operation runs.
type Place uint8

// The places.
const (
	OffLoop Place = iota // on the goroutine that runs the program
	InPost
	InTimer
	InOpen
	InData
	InEOF
	InWritable
	InNotify
	InClose
	places
)

var placeNames = [places]string{
	"off the loop", "in Post", "in After", "in OnOpen", "in OnData", "in OnEOF", "in OnWritable", "in WriteNotify", "in OnClose",
}

// String is a name such as "in OnData".
func (p Place) String() string { return placeNames[p] }

func (c Config) String() string {
	parts := []string{"tcp"}
	if c.Unix {
		parts[0] = "unix"
	}
	for name, set := range map[string]bool{"dialled": c.Dialled, "accepted": !c.Dialled} {
		if set {
			parts = append(parts, name)
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"AllowHalfClose", c.AllowHalfClose}, {"ReadWhileBlocked", c.ReadWhileBlocked}, {"small socket buffers", c.Tight},
		{"the handler keeps bytes", c.Keep}, {fmt.Sprintf("WriteBufferLimit %d", smallQueue), c.SmallQueue},
		{fmt.Sprintf("TurnBudget %d", smallBudget), c.SmallBudget}, {fmt.Sprintf("ReadBufferLimit %d", c.ReadLimit), c.ReadLimit > 0},
		{fmt.Sprintf("HighWater %d", c.HighWater), c.HighWater > 0},
	} {
		if f.set {
			parts = append(parts, f.name)
		}
	}
	return strings.Join(parts, ", ")
}

// String shows the program as it runs, normalised: a line for each stream, and one for each step.
func (p Program) String() string {
	var b strings.Builder
	for i, c := range p.Streams {
		fmt.Fprintf(&b, "stream %d: %v\n", i, c)
	}
	for i, s := range plan(p).steps {
		fmt.Fprintf(&b, "%3d  %v\n", i, s)
	}
	return b.String()
}
