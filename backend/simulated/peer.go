package simulated

import (
	"net"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Peer is the other side of a connection, which a test moves. It reads by itself what comes, and sends by itself what it
// was given, as the kernel has room. No call waits.
type Peer struct {
	k   *Kernel
	end *end // nil: it is still connecting, or could not

	// The kernel's mu guards what follows.
	toSend   []byte
	finish   bool // behind toSend
	cut      bool // reset behind what was sent, when it has arrived
	received []byte
	stopped  bool // it does not read
	discards bool // it reads and keeps nothing
	total    int
	eof      bool
	err      error
	over     bool // Close or Reset was called
}

func newPeer(k *Kernel, e *end) *Peer {
	p := &Peer{k: k}
	p.attach(e)
	return p
}

func (p *Peer) attach(e *end) {
	p.end = e
	e.peer = p
}

// Dial begins to connect a Peer to a listener. Connected and Err tell how that ends.
func (k *Kernel) Dial(network, address string) (*Peer, error) {
	addr, err := parseAddress(network, address)
	if err != nil {
		return nil, err
	}
	return k.DialAddr(addr), nil
}

// DialAddr is Dial for an address that is known.
func (k *Kernel) DialAddr(addr backend.Address) *Peer {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := &Peer{k: k}
	k.connect(k.freshAddress(addr), addr, func(e *end, err error) {
		switch {
		case err != nil:
			p.err = err
		case p.over:
			e.close(true)
		default:
			p.attach(e)
			p.pump()
		}
	})
	return p
}

// Connected reports whether there is, or was, a connection.
func (p *Peer) Connected() bool {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.end != nil
}

// Addr is the address of the peer's end, nil before it is connected.
func (p *Peer) Addr() net.Addr {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.end == nil {
		return nil
	}
	return p.end.local.NetAddr()
}

// Send sends bytes, behind those of earlier calls, as the kernel has room.
func (p *Peer) Send(b []byte) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.toSend = append(p.toSend, b...)
	p.pump()
}

// Unsent is how many bytes the kernel has not taken yet.
func (p *Peer) Unsent() int {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return len(p.toSend)
}

// Finish sends FIN behind the last byte.
func (p *Peer) Finish() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.finish = true
	p.pump()
}

// Close closes the connection, as close(2) does: what the kernel has is sent, unless something is unread, which makes it
// a reset. What it has not taken yet is dropped.
func (p *Peer) Close() { p.finishWith(false) }

// Reset resets the connection.
func (p *Peer) Reset() { p.finishWith(true) }

func (p *Peer) finishWith(reset bool) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.over {
		return
	}
	p.over, p.toSend = true, nil
	if p.end != nil {
		p.k.note("peer ends", p.total, len(p.end.in))
		p.end.close(reset)
	}
}

// Cut resets the connection when all that the peer was given to send has arrived at the other side: at that moment, before
// anybody there has received it.
func (p *Peer) Cut() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.cut = true
	p.pump()
}

// Stop has the peer read nothing until it is called with false.
func (p *Peer) Stop(on bool) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.stopped = on
	p.pump()
}

// Discard has the peer read what comes and keep none of it: for floods.
func (p *Peer) Discard() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.discards = true
}

// Vanish has nothing arrive at either side any longer, as when a cable is pulled, until it is called with false.
func (p *Peer) Vanish(on bool) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.end != nil {
		p.end.stall(on)
		p.end.other.stall(on)
	}
}

// Received is what the peer has read so far. The bytes are not to be changed.
func (p *Peer) Received() []byte {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.received[:len(p.received):len(p.received)]
}

// Count is how many bytes the peer has read so far.
func (p *Peer) Count() int {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.total
}

// EOF reports whether the other side has finished, and all before that was read.
func (p *Peer) EOF() bool {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.eof
}

// Err is how the connection has failed, or the attempt to connect, or nil.
func (p *Peer) Err() error {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.err
}

// pump reads and sends what it can. mu is held.
func (p *Peer) pump() {
	e := p.end
	if e == nil || p.over {
		return
	}
	for !p.stopped && len(e.in) > 0 {
		p.total += len(e.in)
		if !p.discards {
			p.received = append(p.received, e.in...)
		}
		e.in = nil
	}
	if !p.stopped {
		if e.err != nil {
			p.err = e.takeError()
			p.k.note("peer fails", p.total, 0)
		}
		p.eof = p.eof || e.finCame && len(e.in) == 0
		e.other.move()
	}
	for len(p.toSend) > 0 && e.err == nil && !e.dead {
		n, err := e.send(p.toSend)
		if err != nil {
			break
		}
		p.toSend = p.toSend[n:]
	}
	if len(p.toSend) == 0 && p.finish && !e.fin && !e.dead {
		_ = e.finish()
	}
	if p.cut && len(p.toSend)+len(e.out) == 0 {
		p.over = true
		p.k.note("peer cuts", p.total, len(e.in))
		e.gone, e.dead, e.in = true, true, nil
		e.other.failWith(syscall.ECONNRESET)
	}
}

// PeerListener is a listener of the test's, to which a Transport may dial.
type PeerListener struct {
	k      *Kernel
	l      *listener
	silent bool // it answers nobody
	peers  []*Peer
}

// Listen makes a listener of the test's. Port 0 means one that is free.
func (k *Kernel) Listen(network, address string) (*PeerListener, error) {
	addr, err := parseAddress(network, address)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.listen(addr, 4096, false)
	if err != nil {
		return nil, err
	}
	p := &PeerListener{k: k, l: l}
	l.peer = p
	return p, nil
}

// Addr is where it listens.
func (l *PeerListener) Addr() net.Addr { return l.l.addr.NetAddr() }

// Silent has it answer nobody, as a host behind a firewall, until it is called with false.
func (l *PeerListener) Silent(on bool) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.silent = on
}

// Peers are the connections that have come so far, in order.
func (l *PeerListener) Peers() []*Peer {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	return append([]*Peer(nil), l.peers...)
}

// Close ends it. Its peers live on.
func (l *PeerListener) Close() {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.l.close()
}

func (l *PeerListener) arrived(e *end) { l.peers = append(l.peers, newPeer(l.k, e)) }
