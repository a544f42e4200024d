package modeltest

import (
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// Program is a kernel, an engine on it, and what is done to both.
type Program struct {
	Seed        uint64
	Completions bool // the kind of drivers
	Loops       int  // 0: one that the test polls; else so many on goroutines of their own
	Faults      int  // index of kernels
	Buffers     int  // of the kernel, in bytes, for each direction of an end; 0: the default
	Files       int  // descriptors that there may be; 0: the default
	Options     int  // index of limits
	HalfClose   bool // AllowHalfClose
	ReadBlocked bool // ReadWhileBlocked
	MaxConns    int
	Reject      bool // RejectOverLimit
	Memory      int64
	Balance     int
	Reads       int  // what OnData reads: 0 everything, 1 a part, 2 nothing, else in turn
	Answers     int  // how many bytes OnData writes then, the first times
	End         int  // 0: Close; else Shutdown with so many milliseconds
	Late        int  // so many of the last Ops come while the engine ends, and after that
	TLS         bool // between streams, where no peer is needed
	Ops         []Op
}

// Op is one operation. It is performed as soon as its place comes, and after some turns anywhere.
type Op struct {
	Do  string // a name in operations
	On  int    // the stream, or peer, or listener that it is about; modulo how many there are
	In  Place  // where it is performed
	Via int    // whose callback that is: a stream; modulo how many there are
	N   int    // an argument: bytes, or microseconds, or a variant
}

// Place says where an operation is performed.
type Place string

// The places.
const (
	Between  Place = ""         // between two turns of the loops
	Other    Place = "other"    // on a goroutine of its own, where the loop could be interrupted
	Open     Place = "open"     // in callbacks of stream Via
	Data     Place = "data"     //
	Writable Place = "writable" //
	EOF      Place = "eof"      //
	Closed   Place = "close"    //
	Posted   Place = "post"     // in functions given to methods of stream Via
	Timer    Place = "timer"    //
	Notified Place = "notify"   //
)

var places = []Place{Between, Other, Open, Data, Writable, EOF, Closed, Posted, Timer, Notified}

// String prints the program as a Go literal.
func (p Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Program{\n\tSeed: %d, Completions: %v, Loops: %d, Faults: %d, Buffers: %d, Files: %d, Options: %d, HalfClose: %v,\n",
		p.Seed, p.Completions, p.Loops, p.Faults, p.Buffers, p.Files, p.Options, p.HalfClose)
	fmt.Fprintf(&b, "\tReadBlocked: %v, MaxConns: %d, Reject: %v, Memory: %d, Balance: %d, Reads: %d, Answers: %d, End: %d, Late: %d, TLS: %v,\n\tOps: []Op{\n",
		p.ReadBlocked, p.MaxConns, p.Reject, p.Memory, p.Balance, p.Reads, p.Answers, p.End, p.Late, p.TLS)
	for _, o := range p.Ops {
		fmt.Fprintf(&b, "\t\t%s,\n", o)
	}
	b.WriteString("\t},\n}")
	return b.String()
}

// chance is a number that decides what happens seldom.
func (o Op) chance() int { return o.N + o.On + o.Via }

// String prints the operation as a Go literal.
func (o Op) String() string {
	return fmt.Sprintf("{%q, %d, %q, %d, %d}", o.Do, o.On, string(o.In), o.Via, o.N)
}

// kernels are the faults that a program may have.
var kernels = []simulated.Faults{{}, simulated.Rough(), simulated.Nasty()}

// limits are the options of streams that a program may have.
var limits = []session.StreamOptions{
	{},
	{ReadBufferLimit: 4000, WriteBufferLimit: 8000, HighWater: 2000, TurnBudget: 3000, CloseTimeout: 300 * time.Millisecond},
	{ReadBufferLimit: 300, WriteBufferLimit: 1000, HighWater: 500, LowWater: 1, TurnBudget: 100},
	{
		ReadBufferLimit: 20000, WriteBufferLimit: 100000, HighWater: 70000, IdleTimeout: 2 * time.Second,
		ReadIdleTimeout: 3 * time.Second, HalfCloseTimeout: time.Second, CloseTimeout: time.Second,
	},
	{ReadBufferLimit: 1, WriteBufferLimit: 1, HighWater: 1, LowWater: 1, TurnBudget: 1, CloseTimeout: -1},
}

func (p Program) options() session.StreamOptions {
	o := limits[p.Options%len(limits)]
	o.AllowHalfClose, o.ReadWhileBlocked = p.HalfClose, p.ReadBlocked
	return o
}

func (p Program) stepped() bool { return p.Loops > 0 }

func (p Program) config() simulated.Config {
	return simulated.Config{
		Seed: p.Seed, Files: p.Files, SendBuffer: p.Buffers, ReceiveBuffer: p.Buffers, Stepped: p.stepped(), Settle: synctest.Wait,
	}
}
