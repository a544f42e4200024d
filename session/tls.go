package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// tlsLayer is TLS between the driver of a stream and its user. It lets a crypto/tls Conn do the work, and is the
// connection below that: it gives the Conn one whole record at a time, and queues what the Conn writes.
//
//	driver ── Received ─► in: encrypted bytes ─ whole records ─► Conn.Read ─► arrive ─► rx.in ─► OnData
//	driver ◄─ Send ────── tx.out: encrypted bytes ◄──────────── Conn.Write ◄─ Write, from any goroutine
//
// The handshake runs on a goroutine of its own, because it computes for long and calls functions of the user's that may
// block; for a Transport that is CallerDriven, only while Poll waits for it. After it the Conn is read on the loop alone. A
// Read that finds no record gets ErrWouldBlock, which crypto/tls does not keep, because it is a temporary net.Error; every
// other error is for good, and so is every error of a Write below.
//
// A record that was encrypted has to be sent, else the peer can decrypt none behind it. So a write is admitted before it
// is encrypted. The lock of the Conn puts writes in order, and close_notify behind them.
type tlsLayer struct {
	stream *Stream
	conn   *tls.Conn
	server bool
	late   bool // it began by StartTLS: the user knows the stream already

	truncated atomic.Bool
	over      atomic.Pointer[secured] // the Conn that goes on, once the stream has handed its connection over

	// The stream's mu guards what follows.
	open    bool         // the handshake is done, and what waited for it is encrypted
	early   []earlyWrite // what was written before that
	waiting int          // bytes of early
	sealing int          // about how many bytes are being encrypted, by writes that were admitted
	lost    bool         // the connection has failed before
	secured *secured     // Detach was called
	handing bool         // and the stream hands its connection over
	last    uint64       // bytes that were given to writes when close_notify followed, and 1; 0: it did not

	// What follows belongs to the loop.
	in       inbox
	record   []byte     // what Conn.Read may read now
	shake    *handshake // nil: it is done, or the stream has ended
	hand     *handshake // for Read of the Conn while it shakes hands
	reading  bool       // the handshake is done
	fin      bool       // the peer's FIN has come
	closed   bool       // nothing more is decrypted: close_notify has come, or something has failed
	notified bool       // close_notify, or the alert of an error, was queued
	answered int        // bytes of answers that the queue has had since it was empty
}

// earlyWrite is a write that waits for the handshake.
type earlyWrite struct {
	bytes []byte
	fn    func(error) // of WriteNotify, or nil
}

const (
	recordHeader        = 5
	largestPlain        = 16 << 10                            // RFC 8446, 5.1
	largestRecord       = recordHeader + largestPlain + 2<<10 // RFC 5246, 6.2.3; TLS 1.3 allows less
	tlsReadAhead        = 64 << 10                            // bytes that are held for a handshake
	tlsScratch          = 4 * largestPlain                    // what is decrypted at a time
	mostAnswers         = 64 << 10                            // bytes of answers that a peer leaves unread
	recordsBetweenLooks = 32                                  // that are decrypted before the clock is read
)

// wholeRecord returns the length of the first record in p, or 0 if it has not come yet. What cannot be a record is
// passed on as it is, for crypto/tls to refuse.
func wholeRecord(p []byte) int {
	if len(p) < recordHeader {
		return 0
	}
	n := recordHeader + int(p[3])<<8 + int(p[4])
	if p[0] < 20 || p[0] > 23 || p[1] != 3 || n > largestRecord {
		return len(p)
	}
	if n > len(p) {
		return 0
	}
	return n
}

// TLSState is what is known of the TLS of a stream.
type TLSState struct {
	tls.ConnectionState

	// Truncated is set if the peer has finished by a FIN without close_notify, between two records. Somebody in between
	// may have sent that FIN: a protocol in which the end of the stream ends a message should not believe it.
	Truncated bool
}

// TLS returns what is known of the stream's TLS, and false if it has none or its handshake is not done. Any goroutine; it
// does not block.
func (s *Stream) TLS() (TLSState, bool) {
	s.mu.Lock()
	t := s.tls
	open := t != nil && t.open
	s.mu.Unlock()
	if !open {
		return TLSState{}, false
	}
	return TLSState{ConnectionState: t.conn.ConnectionState(), Truncated: t.truncated.Load()}, true
}

// truncated reports whether the peer has finished without close_notify. Loop only.
func (s *Stream) truncated() bool { return s.tls != nil && s.tls.truncated.Load() }

// checkTLS refuses a configuration, if there is one, with which no handshake could succeed, or that a loop cannot honour.
func checkTLS(c *tls.Config, server bool) error {
	switch {
	case c == nil:
	case server && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil:
		return errors.New("TLS: the Config has neither Certificates, GetCertificate nor GetConfigForClient; a server needs one of them")
	case !server && c.Renegotiation != tls.RenegotiateNever:
		return errors.New("TLS: the Config allows renegotiation, which would block a loop; set Renegotiation to tls.RenegotiateNever")
	case !server && c.ServerName == "" && !c.InsecureSkipVerify:
		return errors.New("TLS: the Config has neither ServerName nor InsecureSkipVerify, and the address has no host name to verify")
	}
	return nil
}

// newTLS gives the stream its TLS. begin follows, on the loop.
func newTLS(s *Stream, c *tls.Config, server bool) *tlsLayer {
	t := &tlsLayer{stream: s, server: server}
	t.in.pool = &s.loop.Pool
	if server {
		t.conn = tls.Server((*tlsWire)(t), c)
	} else {
		t.conn = tls.Client((*tlsWire)(t), c)
	}
	return t
}

// received takes encrypted bytes of the driver, lent until it returns.
func (t *tlsLayer) received(p []byte) {
	s := t.stream
	switch {
	case s.rx.refuses() && !t.finishes(), t.closed:
		s.discard(len(p))
		return
	case t.in.mem == nil:
		t.in.lend(p)
		defer t.in.endLoan() // also if a callback ends the goroutine
	default:
		t.in.push(p)
	}
	if s.rx.flow.Load()&flowPaused != 0 {
		s.rx.pausedWithData = true
	}
	t.catchUp()
}

// catchUp goes on with what has come: the handshake, or decrypting for the user as long as that may be delivered.
func (t *tlsLayer) catchUp() {
	if t.shake != nil {
		t.feedHandshake()
	}
	s := t.stream
	if !t.reading || !s.running { // it may have failed before it could open
		return
	}
	for t.hasRecord() {
		if !s.deliverable() {
			if s.stops() == 0 {
				s.scheduleTurnEnd() // its share of this turn is used up
			}
			return
		}
		t.decryptSome()
	}
	if t.fin && !t.closed && !s.rx.eof {
		t.ended()
	}
}

// hasRecord reports whether there is something to decrypt.
func (t *tlsLayer) hasRecord() bool { return t.reading && !t.closed && wholeRecord(t.in.bytes()) > 0 }

// decryptSome decrypts some records and delivers what was in them.
func (t *tlsLayer) decryptSome() {
	s := t.stream
	plain := s.loop.plainScratch()
	s.loop.stamp() // so that the time counts as the callback's
	n, err := t.decrypt(plain)
	t.in.tidy()
	if n > 0 {
		s.arrive(plain[:n:n])
		backend.Poison(plain[:n])
	} else {
		s.rx.spendTime(s.loop.lap(s))
	}
	t.failed(err)
}

// decrypt decrypts whole records into p, until p is full, there are no more, the stream is to read no more, or it has taken
// as long as it may in a turn: some records take much time and hold nothing. It runs functions of the user's Config.
func (t *tlsLayer) decrypt(p []byte) (n int, err error) {
	s := t.stream
	s.loop.enter(s, inTLS)
	defer s.recovered()
	for i := 1; len(p)-n >= largestPlain && err == nil; i++ {
		k := wholeRecord(t.in.bytes())
		if k == 0 || i > 1 && s.stops() != 0 || i%recordsBetweenLooks == 0 && s.loop.sinceStamp() >= turnLimit {
			break
		}
		t.record = t.in.bytes()[:k]
		t.in.consume(k)
		var m int
		if m, err = t.conn.Read(p[n:]); errors.Is(err, ErrWouldBlock) {
			err = nil
		}
		t.record = nil
		n += m
		s.loop.Count[backend.TLSOverhead] += uint64(k) - uint64(m)
	}
	return n, err
}

// failed follows an error of Conn.Read, or the peer's close_notify. The Conn has queued an alert.
func (t *tlsLayer) failed(err error) {
	s := t.stream
	switch {
	case t.answered > mostAnswers:
		t.closed = true
		t.dropIn()
		_ = s.AbortWith(s.opError("read", fmt.Errorf("TLS: the peer asks for new keys, and reads none of the answers: %w", ErrWriteBufferFull)))
	case err == nil:
	case err == io.EOF:
		t.closed = true
		t.dropIn()
		s.rx.eof = true
		s.deliver()
		s.scheduleTurnEnd()
	default:
		t.closed, t.notified = true, true
		t.dropIn()
		s.closeWith(s.opError("read", fmt.Errorf("TLS: %w", err)), true)
	}
}

// dropIn forgets what nobody will decrypt.
func (t *tlsLayer) dropIn() {
	t.stream.loop.Count[backend.BytesDropped] += uint64(t.in.len())
	t.in.drop()
}

// receiveEnded follows the peer's FIN.
func (t *tlsLayer) receiveEnded() {
	t.fin = true
	t.catchUp()
	t.stream.scheduleTurnEnd()
}

// ended follows a FIN without close_notify. All whole records were decrypted.
func (t *tlsLayer) ended() {
	s := t.stream
	if t.in.len() > 0 {
		s.failed(io.ErrUnexpectedEOF)
		return
	}
	t.truncated.Store(true)
	s.rx.eof = true
	s.deliver()
}

// decryptRest decrypts what was received for OnClose, which may read it, up to the stream's limit.
func (t *tlsLayer) decryptRest() {
	s := t.stream
	for t.hasRecord() && s.rx.in.len() < s.opts.ReadBufferLimit {
		plain := s.loop.plainScratch()
		n, err := t.decrypt(plain)
		if n > 0 {
			s.inbox().push(plain[:n])
			backend.Poison(plain[:n])
		}
		if err != nil {
			t.closed = true
		}
	}
}

// finishes reports whether a stream that was closed still has to end its handshake, for what was written before.
func (t *tlsLayer) finishes() bool {
	s := t.stream
	if t.shake == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase == closing && t.waiting > 0
}

// wants reports whether encrypted bytes are to be received although the stream does not run, or reads nothing: for the
// handshake, or to find the peer's end after one that failed.
func (t *tlsLayer) wants() bool {
	h, s := t.shake, t.stream
	switch {
	case h == nil:
		return !s.running && !t.reading && s.wants()
	case s.rx.refuses() && !t.finishes():
		return false
	}
	if !h.begun {
		return wholeRecord(t.in.bytes()) == 0 // the rest waits unread
	}
	return h.wants(t.in.len())
}

// end lets go of the handshake as the stream ends. Loop only.
func (t *tlsLayer) end() {
	if h := t.shake; h != nil {
		t.shake = nil
		t.stream.loop.StopTimer(&h.timer)
		t.stream.loop.tlsSlots.leave(h)
		h.end()
	}
}

// handshakeLimit is how long the handshake may take from now on, 0: no limit.
func (s *Stream) handshakeLimit() time.Duration {
	limit := max(s.opts.TLSHandshakeTimeout, 0)
	s.mu.Lock()
	d := s.opts.dial
	s.mu.Unlock()
	if d == nil || d.opts.Timeout <= 0 || d.waited { // Dial, which waits, looks after that itself
		return limit
	}
	left := max(d.deadline.Sub(s.loop.Time.Now()), 1)
	if limit == 0 {
		return left
	}
	return min(limit, left)
}

// clientTLS returns the configuration of a dial to address, or nil.
func (o *DialOptions) clientTLS(address string) (*tls.Config, error) {
	c := o.TLS
	if c != nil && c.ServerName == "" && !c.InsecureSkipVerify {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			c = c.Clone()
			c.ServerName = host
		}
	}
	return c, checkTLS(c, false)
}
