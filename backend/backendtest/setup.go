package backendtest

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Setup is one way to run the suite.
type Setup struct {
	Name    string
	Drivers Drivers // makes the drivers under test
	Peers   Drivers // makes the drivers of the peers' Transport; nil: peers are plain net.Conns
	Network string  // "tcp" (default) or "unix"
	Dialled bool    // streams under test dial, instead of being accepted
	TLS     bool    // streams of Pair speak TLS, and so do their peers, which are Conns of crypto/tls
	Beside  string  // what else is on the loop: "idle" or "bulk" streams; ""

	// Required makes it a failure that the drivers cannot run here. By default the setup is skipped then.
	Required bool

	// Requests says that the drivers count submissions and completions.
	Requests bool

	// Goroutines says that the drivers have goroutines of their own for what they wait for.
	Goroutines bool

	// Tiny says that the drivers have so little memory that rules about load mean nothing.
	Tiny bool

	// HandedOver is how many bytes the kernel may have handed over to a stream before the driver learns that the stream
	// wants no more for now. Default 3 MiB.
	HandedOver int

	// Turns is how many turns it takes at most until all that was received for one stream has been reported. Default 2.
	Turns int

	// Waits are the system calls in which the loops wait. S38 has them fail; it is skipped if there are none.
	Waits Waits

	// Without are rules that cannot hold for these drivers, and why. They are skipped, loudly.
	Without map[string]string

	// Chosen reports whether a rule is run at all. nil: all are.
	Chosen func(rule string) bool

	// Ended is called at the end of each rule, when its Transports are closed. nil: nothing.
	Ended func(*Env)

	// Yardstick makes drivers that are known to be quick beside thousands of streams that end, for S39_HangUpOfMany.
	// Default: the drivers under test, and then nothing is compared.
	Yardstick Drivers
}

// Waits are system calls in which loops wait for events.
type Waits struct {
	Calls []uint32 // their numbers

	// Set is what /proc/self/fd shows of the descriptor that is their first argument, such as "anon_inode:[eventpoll]".
	// "": each loop keeps a thread, on which all of the calls are its own.
	Set string
}

// Drivers makes the drivers of one Transport, or none and an error. If they cannot run on this machine the error is
// errors.ErrUnsupported.
type Drivers func(Need) ([]backend.Driver, error)

// Need is what a Transport needs of its drivers.
type Need struct {
	Loops   int  // how many drivers; never 0
	Streams int  // how many streams are expected on all of them; 0: unknown
	Thread  bool // each loop keeps a thread, because it is tied to a CPU
	Driven  bool // the caller drives the loop, and another goroutine may end it

	// What the drivers should have little or much of, where there is such a thing: entries of a queue of requests, and
	// twice as many of events; receive buffers, and their size in bytes. 0: whatever the Setup has. A Setup that has a
	// size of its own for the buffers keeps it.
	Queue, Buffers, BufferSize int
}

// Options are those of one Transport that a rule opens: an Engine's, whose Drivers come from the Setup.
type Options struct {
	session.Config
	Need
}

// start opens a Transport. Its defaults are two loops, or one if it is driven by its caller, no log, and callbacks that
// are looked after as those of package tandem. What a rule calls on the wrong goroutine panics.
func start(drivers Drivers, o Options) (*session.Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Loops == 0 {
		o.Loops = 2
		if o.CallerDriven {
			o.Loops = 1
		}
	}
	if o.SlowCallback == 0 {
		o.SlowCallback = 100 * time.Millisecond
	}
	o.Debug = true
	o.Thread, o.Driven = o.Affinity != nil, o.CallerDriven
	made, err := drivers(o.Need)
	if err != nil {
		return nil, err
	}
	if len(made) != o.Loops {
		return nil, fmt.Errorf("the Setup made %d drivers for %d loops", len(made), o.Loops)
	}
	o.Config.Drivers = made
	return session.New(o.Config)
}

// available opens what the setup needs, once. Where its drivers cannot run it skips the test, loudly, or fails it if
// they are required.
func (s *Setup) available(t *testing.T) bool {
	for _, drivers := range []Drivers{s.Drivers, s.Peers} {
		if drivers == nil {
			continue
		}
		e, err := start(drivers, Options{})
		if err == nil {
			_ = e.Close()
			continue
		}
		if s.Required {
			require.NoError(t, err, "open a Transport with required drivers")
		}
		require.ErrorIs(t, err, errors.ErrUnsupported, "open a Transport")
		t.Skipf("NOT TESTED: the drivers cannot run here: %v", err)
	}
	return true
}
