package difftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// reference does with a net.Conn what the operations of a program mean for a stream: the oracle.
//
//	peer ──► conn ──► in: unread ──► handler's data
//	peer ◄── conn ◄── out ◄── turn: what a callback has written
//
// It knows how much is on its way, so it reads exactly that, and never has to wait for what might not come.
type reference struct {
	cfg    Config
	conn   net.Conn
	p      *peer
	t      *trace
	others []*reference
	out    *outbox
	turn   []item
	phase  phase

	keep, paused bool
	generation   int
	in           []byte
	received     int
	full         bool
	fresh        bool // what is in counts as new
	eof          bool // was read
	told         bool // OnEOF
	fin          bool
	alone        int   // bytes that were written to the Conn
	aborted      error // OnClose has to be called with
	late         bool  // the Conn's deadline has passed
	detached     bool  // OnClose follows, when nobody has to be told any longer
}

var addresses atomic.Int64

// address returns an address to listen at.
func (c Config) address() (network, address string) {
	if c.Unix {
		return "unix", fmt.Sprintf("@tandem-difftest-%d-%d", syscall.Getpid(), addresses.Add(1))
	}
	return "tcp", "127.0.0.1:0"
}

// window is what socket buffers on the way to the peer of a tight stream are set to, in bytes.
const window = 64 << 10

// control is for a peer's Dialer or ListenConfig.
func (c Config) control(_, _ string, raw syscall.RawConn) error {
	if !c.Tight {
		return nil
	}
	var err error
	return errors.Join(raw.Control(func(fd uintptr) { err = receiveBuffer(fd, window) }), err)
}

// connect makes a pair of plain connections, of which the second is the peer's.
func (c Config) connect() (conn, peer net.Conn, err error) {
	listening, dialer := net.ListenConfig{}, net.Dialer{Timeout: patience}
	if c.Dialled {
		listening.Control = c.control
	} else {
		dialer.Control = c.control
	}
	network, address := c.address()
	l, err := listening.Listen(context.Background(), network, address)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	dialled, err := dialer.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	accepted, err := l.Accept()
	if err != nil {
		_ = dialled.Close()
		return nil, nil, err
	}
	if c.Dialled {
		return dialled, accepted, nil
	}
	return accepted, dialled, nil
}

// runReference runs a program on net.Conns, and returns what has happened on each stream after each step.
func runReference(l *planned) (after [][]snapshot, err error) {
	refs := make([]*reference, len(l.streams))
	defer func() {
		for _, r := range refs {
			if r != nil && r.conn != nil {
				_ = r.conn.Close()
				r.p.close()
			}
		}
	}()
	for i, c := range l.streams {
		refs[i] = &reference{cfg: c, keep: c.Keep, t: newTrace(), others: refs}
	}
	for k, s := range l.steps {
		if err := refs[s.stream].step(k, s); err != nil {
			return after, fmt.Errorf("the reference, in step %d: %w", k, err)
		}
		now := make([]snapshot, len(refs))
		for i, r := range refs {
			err := r.settle(s.after[i])
			if err == nil {
				err = r.awaitPeer(s.after[i])
			}
			if err != nil {
				return after, fmt.Errorf("the reference, stream %d after step %d: %w", i, k, err)
			}
			if r.conn != nil {
				now[i] = r.t.snapshot(r.p)
			}
		}
		after = append(after, now)
	}
	return after, nil
}

func (r *reference) open() error {
	conn, c, err := r.cfg.connect()
	if err != nil {
		return err
	}
	if b, ok := conn.(interface{ SetWriteBuffer(int) error }); ok && r.cfg.Tight {
		_ = b.SetWriteBuffer(window)
	}
	r.conn, r.p = conn, newPeer(c)
	r.out = &outbox{c: conn, told: func(name string, err error) { r.t.event(name, classify(err)) }}
	r.t.called(handled("OnOpen", 0))
	return nil
}

// step runs one step; settle follows.
func (r *reference) step(k int, s step) error {
	r.t.begin(k)
	if len(s.ops) > 0 && s.ops[0].Kind.isPeers() {
		r.p.do(s.ops)
		return nil
	}
	if len(s.ops) > 0 && s.ops[0].Kind.isConns() {
		n := r.t.connOp(&leftover{r.conn, r}, s.ops[0])
		if s.ops[0].Kind == ConnWrite {
			r.alone += n
		}
		return nil
	}
	switch s.place {
	case InOpen:
		if err := r.open(); err != nil {
			return err
		}
	case InData:
		r.p.write(content(triggerID(k), s.trigger))
		if err := r.receive(); err != nil {
			return err
		}
	case InEOF:
		r.p.finish()
		if err := r.receive(); err != nil {
			return err
		}
		r.t.called(handled("OnEOF", r.generation))
		r.told = true
	case InWritable, InNotify:
		i := item{b: content(triggerID(k), s.trigger)}
		if s.place == InNotify {
			i.notify = triggerName(k)
		}
		r.out.push(i)
		if err := r.out.await(); err != nil {
			return err
		}
	case InClose:
		r.phase = closing
		if err := r.close(); err != nil {
			return err
		}
	}
	for _, a := range s.ops {
		r.do(a, s.place != OffLoop)
	}
	if s.place == InEOF && !r.cfg.AllowHalfClose && r.phase == alive && !r.detached {
		r.phase = closing
	}
	return nil
}

// settle lets everything come that has been caused. after says whether the peer takes what is queued.
func (r *reference) settle(after state) error {
	if r.conn == nil {
		return nil
	}
	if r.aborted != nil {
		r.over(r.aborted)
		r.aborted = nil
	}
	r.out.push(r.turn...)
	r.turn = nil
	if after.flooded && !waitFor(patience, r.out.floods) {
		return errors.New("the peer does not get what was written before it stopped")
	}
	if !after.flooded && !r.out.stopped {
		if err := r.out.await(); err != nil && r.phase != over && !r.detached {
			return r.fails(err)
		} else if err != nil {
			r.out.drop(err)
		}
	}
	if r.detached && r.phase != over {
		if idle, _ := r.out.idle(); idle || !r.notifies() {
			r.over(nil)
		}
	}
	if r.phase == alive && !r.detached {
		if err := r.listen(after); err != nil {
			return err
		}
	}
	if idle, _ := r.out.idle(); r.phase == closing && idle {
		return r.close()
	}
	return nil
}

// awaitPeer waits until a peer that reads has got what it will get.
func (r *reference) awaitPeer(after state) error {
	if r.conn == nil || after.stopped || after.reset {
		return nil
	}
	ends := r.phase == over && !r.detached || r.fin || after.connShut || after.connClosed
	r.out.mu.Lock()
	written := r.out.written + r.alone
	r.out.mu.Unlock()
	if waitFor(patience, func() bool {
		if r.phase == over && !r.detached {
			return r.p.settled()
		}
		got, end := r.p.state()
		return end != "" || !ends && len(got) == written
	}) {
		return nil
	}
	return errors.New("the peer does not get what was written")
}

// notifies reports whether somebody waits for what is queued.
func (r *reference) notifies() bool {
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	for _, i := range r.out.items {
		if i.notify != "" {
			return true
		}
	}
	return false
}

// listen reads what has come, if the stream reads, and looks whether a stream that does not read was reset.
func (r *reference) listen(after state) error {
	_, over, reset := r.p.promised()
	reads := !r.paused && (!after.flooded || r.cfg.ReadWhileBlocked)
	if !reads && !reset {
		return nil
	}
	if !reads {
		r.full = false
	}
	if err := r.receive(); err != nil {
		return r.fails(err)
	}
	if reset {
		if err := failure(r.conn); err != nil {
			return r.fails(err)
		}
	}
	if reads && r.eof && !r.told && over && !(r.fresh && len(r.in) > 0) {
		r.told = true
		r.t.called(handled("OnEOF", r.generation))
		if !r.cfg.AllowHalfClose {
			r.phase = closing
		}
	}
	return nil
}

// receive reads what is on its way, as far as ReadBufferLimit lets it, and delivers. The error is the connection's.
func (r *reference) receive() error {
	limit := r.cfg.ReadLimit
	if limit == 0 {
		limit = 1 << 20
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		r.deliver()
		switch n := len(r.in); {
		case n >= limit && !r.paused:
			r.full = true
		case n < (limit+1)/2:
			r.full = false
		}
		sent, over, _ := r.p.promised()
		n := min(sent-r.received, 64<<10)
		switch {
		case r.full && r.keep || r.eof:
			return nil
		case r.keep && !r.paused:
			n = min(n, limit-len(r.in))
		}
		if n == 0 && !over {
			return nil
		}
		buf := make([]byte, max(n, 1))
		got, err := io.ReadFull(r.conn, buf)
		r.in = append(r.in, buf[:got]...)
		r.received += got
		r.fresh = r.fresh || got > 0
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			r.eof = true
		case err != nil:
			return err
		}
	}
}

// deliver gives the handler what is new.
func (r *reference) deliver() {
	if !r.fresh || r.paused || len(r.in) == 0 {
		r.fresh = r.fresh && r.paused
		return
	}
	r.fresh = false
	if r.keep {
		r.t.sees()
	} else {
		r.handOver()
	}
	r.note()
}

// handOver gives the handler all that is unread.
func (r *reference) handOver() {
	r.t.delivered(r.generation, r.in)
	r.in = nil
}

// note notes how much is unread.
func (r *reference) note() {
	r.t.mu.Lock()
	r.t.buffered = len(r.in)
	r.t.mu.Unlock()
}

// fails ends the stream as its connection has ended, behind what came before.
func (r *reference) fails(err error) error {
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	rest, _ := io.ReadAll(r.conn)
	r.in = append(r.in, rest...)
	r.handOver()
	r.out.drop(err)
	_ = r.conn.Close()
	r.over(err)
	return nil
}

// close ends the stream in order.
func (r *reference) close() error {
	raw, err := r.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	discard(raw)
	r.out.drop(net.ErrClosed)
	_ = r.conn.Close()
	r.over(nil)
	return nil
}

// over calls OnClose.
func (r *reference) over(err error) {
	r.phase = over
	r.t.called(handled("OnClose "+classify(err), r.generation))
	r.t.mu.Lock()
	r.t.closed = true
	r.t.mu.Unlock()
}
