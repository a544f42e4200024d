package modeltest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tandem-io/tandem/session"
)

// A program with TLS has it on every connection to its own listeners. The model follows the plain bytes. What counts
// encrypted ones, such as Queued, it does not know exactly.

const serverName = "server.test"

// authority is a certificate that is signed by itself, and the pool that trusts it.
var authority = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

// newTLS is what both ends have in common, or nil.
func (w *world) newTLS() *tls.Config {
	if !w.p.TLS {
		return nil
	}
	c := &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}
	if w.p.Seed%3 == 0 {
		c.MaxVersion = tls.VersionTLS12
	}
	return c
}

func (w *world) serverTLS() *tls.Config {
	c := w.newTLS()
	if c != nil {
		cert, _ := authority()
		c.Certificates = []tls.Certificate{cert}
		if w.p.Seed%5 == 0 {
			c.ClientAuth = tls.RequestClientCert // the server's tickets come behind the client's last word
		}
	}
	return c
}

func (w *world) clientTLS() *tls.Config {
	c := w.newTLS()
	if c != nil {
		_, c.RootCAs = authority()
		c.ServerName = serverName
		if w.tickets == nil {
			w.tickets = tls.NewLRUClientSessionCache(10)
		}
		c.ClientSessionCache = w.tickets
	}
	return c
}

// encrypted reports whether the stream has TLS.
func (m *stream) encrypted() bool {
	return m.w.p.TLS && (m.from != nil || m.dial != nil && m.dial.own != nil)
}

// sealed is how many bytes n are at most when they are encrypted, and count to the queue.
func (m *stream) sealed(n int) int {
	if m.encrypted() && n > 0 {
		n += 29*(n/1000+3) + 100
	}
	return n
}

// checkSealed is check of what counts encrypted bytes.
func (m *stream) checkSealed(queued int, stats session.StreamStats) {
	switch {
	case m.opened && !m.over() && int(stats.BytesQueued) < m.queued:
		m.failf("S10: Stats says that %d bytes were queued, of %d that were written", stats.BytesQueued, m.queued)
	case stats.BytesSent > stats.BytesQueued:
		m.failf("S10: Stats says that %d bytes were sent, of %d", stats.BytesSent, stats.BytesQueued)
	case m.over() && queued != 0:
		m.failf("S10: %d bytes are queued after the end", queued)
	}
	if m.opened && !m.over() && !m.endedByUser() && int(stats.BytesSent)+queued < int(stats.BytesQueued) {
		m.refuses()
	}
	m.checkMoved(stats.BytesSent)
}

// brokenTLS reports whether err is what TLS makes of a connection that fails.
func (m *stream) brokenTLS(err error) bool {
	return m.encrypted() && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "TLS"))
}

// checkTLS checks the state of the stream's TLS in OnOpen.
func (m *stream) checkTLS() {
	if state, ok := m.s.TLS(); ok != m.encrypted() || ok && !state.HandshakeComplete {
		m.failf("T01: TLS says %v in OnOpen; want %v", ok, m.encrypted())
	}
}

// twin is the stream at the other end of the connection, if there is one, and it lives.
func (m *stream) twin() *stream {
	for _, o := range m.w.streams {
		if o != m && o.opened && !o.over() && !o.unix && !m.unix && sameAddr(o.s.LocalAddr(), m.s.RemoteAddr()) && sameAddr(o.s.RemoteAddr(), m.s.LocalAddr()) {
			return o
		}
	}
	return nil
}

func sameAddr(a, b net.Addr) bool { return a != nil && b != nil && a.String() == b.String() }

// missingOfTwin is what has not come of the other end, if that is a stream.
func (m *stream) missingOfTwin() string {
	o := m.twin()
	switch {
	case o == nil, m.w.trouble, o.endedByUser(), o.refused, m.paused, m.full(), m.w.memoryFull(), !m.s.Writable() && !m.opts.ReadWhileBlocked:
	case m.in.off+m.s.Buffered() < o.sent():
		return "bytes of " + o.String()
	case o.fin && m.eof == 0:
		return "OnEOF"
	}
	return ""
}
