package backendtest

import (
	"bytes"
	"errors"
	"io"
	"syscall"
)

// promisesKept checks, in OnClose, that what was promised until then has happened. mu is held.
func (x *trial) promisesKept() {
	for i, w := range x.writes {
		if w.promise && w.err == nil && w.notified.Load() == 0 && !x.m.detached {
			x.errorLocked("write %d is not notified before OnClose", i)
		}
	}
	if x.posted > 0 {
		x.errorLocked("%d functions that Post accepted have not run before OnClose", x.posted)
	}
}

// check compares what has happened with the rules.
func (x *trial) check() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.mayBe(x.err) {
		x.errorLocked("OnClose(%v)", x.err)
	}
	if x.complete() && x.read != len(x.in) {
		x.errorLocked("%d of %d bytes were read", x.read, len(x.in))
	}
	if x.posted != 0 {
		x.errorLocked("%d functions that Post accepted have not run", x.posted)
	}
	var got []byte
	if x.r != nil {
		got = x.r.got
		x.checkPeersEnd()
	}
	x.checkSent(got)
	x.checkNotified(got)
}

// mayBe reports whether OnClose may be called with err.
func (x *trial) mayBe(err error) bool {
	if x.peer == reset && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) && !x.m.detached {
		return true
	}
	if x.at == across {
		for _, cause := range x.m.causes {
			if err == cause && !x.m.detached {
				return true
			}
		}
		return err == nil && (len(x.m.causes) == 0 || x.m.closed || x.m.detached || x.mayEnd())
	}
	if len(x.m.causes) > 0 {
		return err == x.m.causes[0] || err == nil && x.mayEnd()
	}
	return err == nil
}

// complete reports whether all that the peer sent had to be read.
func (x *trial) complete() bool {
	return x.peer != reset && !x.m.closed && len(x.m.causes) == 0 && !(x.at == inClose && x.peer == silence)
}

// whole reports whether all that was written had to reach the peer.
func (x *trial) whole() bool { return x.err == nil && x.peer != reset }

// checkPeersEnd looks at how the connection has ended for the peer. mu is held.
func (x *trial) checkPeersEnd() {
	switch err := x.r.err; {
	case x.peer == reset:
	case x.whole() && err != io.EOF:
		x.errorLocked("the peer got %d bytes, and then %v, not EOF", len(x.r.got), err)
	case x.at == across && x.m.fin && err == io.EOF: // the FIN was sent before the reset
	case !x.whole() && !x.e.isReset(err) && x.p != nil && !x.mayEnd():
		x.errorLocked("the peer got %d bytes, and then %v, not a reset", len(x.r.got), err)
	}
}

// checkSent compares what the peer got with what was written. mu is held.
func (x *trial) checkSent(got []byte) {
	var left [][]byte
	for n := 0; n < x.filled; n += fill {
		left = append(left, pattern()[:fill])
	}
	for _, w := range x.writes {
		if w.err == nil {
			left = append(left, w.bytes)
		}
	}
	for len(got) > 0 && len(left) > 0 {
		i := 0
		for x.at == across && i < len(left)-1 && !begins(got, left[i]) {
			i++ // writes of several goroutines are in no order
		}
		if !begins(got, left[i]) {
			break
		}
		got = got[min(len(left[i]), len(got)):]
		left = append(left[:i:i], left[i+1:]...)
	}
	switch {
	case len(got) > 0:
		x.errorLocked("the peer got %d bytes that were not written there", len(got))
	case len(left) > 0 && x.whole():
		x.errorLocked("the peer did not get %d of the writes, and OnClose was called with nil", len(left))
	}
}

// begins reports whether the longer of two slices begins with the shorter one.
func begins(a, b []byte) bool {
	n := min(len(a), len(b))
	return bytes.Equal(a[:n], b[:n])
}

// checkNotified looks at the functions of WriteNotify. mu is held.
func (x *trial) checkNotified(got []byte) {
	for i, w := range x.writes {
		if !w.promise {
			continue
		}
		calls := w.notified.Load()
		if x.m.detached && w.err == nil && calls == 0 {
			x.mu.Unlock()
			if !waitFor(func() bool { return w.notified.Load() > 0 }) {
				x.overdue("write %d is not notified within %v", i, patience)
			}
			x.mu.Lock()
			calls = w.notified.Load()
		}
		switch sure := bytes.Contains(got, w.bytes); {
		case calls != 1 && w.err == nil, calls != 0 && w.err != nil:
			x.errorLocked("write %d returned %v, and its function was called %d times", i, w.err, calls)
		case calls == 0:
		case w.told != nil && sure:
			x.errorLocked("write %d reached the peer, and its function got %v", i, w.told)
		case w.told == nil && !sure && x.whole():
			x.errorLocked("write %d did not reach the peer, and its function got nil", i)
		}
	}
}
