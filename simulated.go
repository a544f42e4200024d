package tandem

import (
	"errors"
	"log/slog"

	"github.com/tandem-io/tandem/backend/simulated"
)

// onSimulated is the Backend of a Transport that Simulated has opened.
const onSimulated Backend = -1

// Simulated opens a Transport on a simulated kernel, for tests of what is built on Streams: there is no socket, time
// passes only in Poll, and a seed decides everything that a network leaves to chance. A test that fails for one seed
// fails for it again.
//
//	k := simulated.New(simulated.Config{Seed: seed, Faults: simulated.Rough()})
//	t, err := tandem.Simulated(k, nil)
//	l, err := t.Listen("tcp", "localhost:0", handler, nil)
//	peer, err := k.Dial("tcp", l.Addr().String())
//	peer.Send(request)
//	err = k.Run(func() bool { return peer.EOF() }, t)
//
// Several Transports may share a kernel, and dial each other. The Transport is CallerDriven, and all rules of a Stream
// hold. Of the options those that choose or tune a backend must be zero. A nil o means all defaults; without a Logger
// nothing is logged, and unless SlowCallback is set nothing looks for slow callbacks, because no time passes in them.
// Package simulated says what the kernel may do and how peers are moved.
func Simulated(k *simulated.Kernel, o *Options) (Transport, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	switch {
	case k == nil:
		return nil, errors.New("tandem: simulated: the kernel is nil")
	case opts.Backend != Auto || opts.Uring != UringOptions{} || opts.Affinity != nil:
		return nil, errors.New("tandem: simulated: Options.Backend, Uring and Affinity are for real kernels")
	}
	opts.CallerDriven = true
	if opts.SlowCallback == 0 {
		opts.SlowCallback = -1
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	drivers := k.Drivers(opts.Loops, k.Completions())
	return opts.start(drivers, k.Clock(), Info{
		Backend: onSimulated, Kernel: "a seed", Loops: opts.Loops, Features: drivers[0].Features(), Reason: "opened by Simulated",
	})
}
