package difftest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// patience is how long what must come may take, on the slowest machine.
const patience = 10 * time.Second

// peer is the other end of a stream, a plain net.Conn. Two goroutines read and write, so that none of its methods waits
// for the stream.
type peer struct {
	c    net.Conn
	done sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	got     []byte
	end     string // how its reading has ended
	stopped bool
	parked  bool // the reader looks at stopped
	out     [][]byte
	sent    int // bytes that were given to write
	fin     bool
	gone    bool // reset or closed here
	writing bool
	refused error // of a write
}

// selfMade is the end of a peer that has closed its socket.
const selfMade = "its own"

func newPeer(c net.Conn) *peer {
	p := &peer{c: c}
	p.cond = sync.NewCond(&p.mu)
	p.done.Go(p.reader)
	p.done.Go(p.writer)
	return p
}

func (p *peer) reader() {
	buf := make([]byte, 64<<10)
	for p.mayRead() {
		n, err := p.c.Read(buf)
		p.mu.Lock()
		p.got = append(p.got, buf[:n]...)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded) && p.stopped:
		case p.gone:
			p.end = selfMade
		default:
			p.end = classify(err)
			p.judge()
		}
		p.cond.Broadcast()
		over := p.end != ""
		p.mu.Unlock()
		if over {
			return
		}
	}
}

// mayRead waits until the peer reads. It reports false if it never will again.
func (p *peer) mayRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stopped && !p.gone {
		p.parked = true
		p.cond.Broadcast()
		p.cond.Wait()
	}
	p.parked = false
	if p.gone {
		p.end = selfMade
	}
	return !p.gone
}

func (p *peer) writer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(p.out) == 0 && !p.fin && !p.gone {
			p.cond.Wait()
		}
		if p.gone {
			return
		}
		if len(p.out) == 0 {
			_ = p.c.(interface{ CloseWrite() error }).CloseWrite() // fails if the stream has reset it
			return
		}
		b := p.out[0]
		p.out = p.out[1:]
		p.writing = true
		p.mu.Unlock()
		_, err := p.c.Write(b)
		p.mu.Lock()
		p.writing = false
		p.cond.Broadcast()
		if err != nil && p.refused == nil {
			p.refused = err
			p.judge()
		}
	}
}

// judge corrects how reading has ended: the kernel reports a reset once, and a write may have got it. Behind a FIN it would
// be EPIPE. mu is held.
func (p *peer) judge() {
	if p.end == "EOF" && classify(p.refused) == "reset" {
		p.end = "reset"
	}
}

// write sends p, behind what is not sent yet.
func (p *peer) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, b)
	p.sent += len(b)
	p.cond.Broadcast()
}

// sendAll waits until the kernel has everything.
func (p *peer) sendAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.writing || len(p.out) > 0) && !p.gone {
		p.cond.Wait()
	}
}

func (p *peer) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fin = true
	p.cond.Broadcast()
}

// stop returns when the peer does not read any longer.
func (p *peer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	_ = p.c.SetReadDeadline(time.Unix(1, 0))
	for !p.parked && p.end == "" {
		p.cond.Wait()
	}
}

func (p *peer) read() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = false
	_ = p.c.SetReadDeadline(time.Time{})
	p.cond.Broadcast()
}

// reset closes the socket, with TCP by a RST.
func (p *peer) reset() {
	if c, ok := p.c.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	p.close()
}

func (p *peer) close() {
	p.mu.Lock()
	p.gone = true
	p.cond.Broadcast()
	p.mu.Unlock()
	_ = p.c.Close()
	p.done.Wait()
}

func (p *peer) state() (got []byte, end string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[:len(p.got):len(p.got)], p.end
}

// settled reports whether the peer will learn nothing more of a connection that has ended.
func (p *peer) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end != "" && !p.writing && len(p.out) == 0
}

// promised is how many bytes the peer has sent, or will send; over reports that it has ended its sending, and reset that
// it is gone.
func (p *peer) promised() (n int, over, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.fin || p.gone, p.gone
}

// do does operations of the peer's.
func (p *peer) do(ops []action) {
	for _, a := range ops {
		switch a.Kind {
		case PeerWrite:
			p.write(content(a.id, a.n))
			if a.waits {
				p.sendAll()
			}
		case PeerFinish:
			p.finish()
		case PeerReset:
			p.reset()
		case PeerStop:
			p.stop()
		case PeerRead:
			p.read()
		}
	}
}

// pattern is where all bytes come from: no short piece occurs in it twice.
var pattern = sync.OnceValue(func() []byte {
	p := make([]byte, 4<<20)
	_, _ = io.ReadFull(rand.NewChaCha8([32]byte{}), p)
	return p
})

// content are the n bytes that an operation writes.
func content(id, n int) []byte {
	at := id * 10007 % (len(pattern()) - flood)
	return pattern()[at : at+n : at+n]
}
