package session

import (
	"context"
	"fmt"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
)

// onLoopOnly panics if Options.Debug is set and a method that belongs to the stream's loop is called on another goroutine.
// A loop that has ended, or that nobody has polled yet, belongs to no goroutine.
func (s *Stream) onLoopOnly(method string) {
	if s.loop.debug && s.loop.Bound() && !s.loop.OnLoop() {
		panic(fmt.Sprintf("tandem: Stream.%s of stream %d is called on another goroutine than that of its loop: "+
			"it belongs into callbacks, or into a function given to Post", method, s.id))
	}
}

// label marks the calling goroutine as the loop's, for profiles.
func (l *loop) label() {
	labels := pprof.Labels("tandem.loop", strconv.Itoa(l.index))
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), labels))
}

// regionNames are the names of callbacks in execution traces.
var regionNames = func() (names [len(callbackNames)]string) {
	for i, name := range callbackNames {
		names[i] = "tandem " + name
	}
	return names
}()

// beginRegion shows a callback in an execution trace, if there is one.
func (l *loop) beginRegion(c call) {
	ctx := context.Background()
	l.regions = append(l.regions, trace.StartRegion(ctx, regionNames[c.callback()]))
	if trace.IsEnabled() && c.stream() != 0 {
		trace.Log(ctx, "stream", strconv.FormatUint(c.stream(), 10))
	}
}

func (l *loop) endRegion() {
	last := len(l.regions) - 1
	l.regions[last].End()
	l.regions = l.regions[:last]
}
