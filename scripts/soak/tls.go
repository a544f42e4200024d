//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tandem-io/tandem"
)

// Servers of the kind "tls" do what those of "half" do, over TLS, except Detach. Their clients are crypto/tls over a
// net.Conn, streams with DialOptions.TLS, and adopted streams with StartTLS.

// serverTLS is the Config of all servers. Its certificate is its own authority, and its tickets serve the next life, too.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"soak"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// tickets are those of all clients of the process.
var tickets = tls.NewLRUClientSessionCache(4)

// clientTLS draws a Config. A peer process cannot know the certificate, and who the server is follows from its bytes.
func clientTLS(r *mathrand.Rand) *tls.Config {
	c := &tls.Config{ServerName: "soak", InsecureSkipVerify: true, ClientSessionCache: tickets}
	if r.IntN(3) == 0 {
		c.MaxVersion = tls.VersionTLS12
	}
	return c
}

// secure has crypto/tls shake hands on a connection.
func (k *client) secure(c conn) (conn, error) {
	t := tls.Client(c, clientTLS(k.r))
	if err := t.Handshake(); err != nil {
		_ = c.Close()
		return nil, err
	}
	k.count(done, "TLS connections of crypto/tls: "+tls.VersionName(t.ConnectionState().Version))
	return t, nil
}

// open dials a server, and speaks TLS with one that does.
func (k *client) open(p place) (conn, error) {
	c, err := k.dial(p)
	if err != nil || p.kind != "tls" {
		return c, err
	}
	return k.secure(c)
}

// tcp is the net.TCPConn below c, or nil.
func tcp(c net.Conn) *net.TCPConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	t, _ := c.(*net.TCPConn)
	return t
}

// startTLS encrypts a stream that was adopted, on its loop.
func (y *party) startTLS(s *tandem.Stream) error {
	started := make(chan error, 1)
	config := clientTLS(y.k.r)
	y.post(s, func() {
		if y.opened.Load() == 0 { // it never will be
			started <- net.ErrClosed
			return
		}
		started <- s.StartTLS(config, false)
	})
	select {
	case err := <-started:
		y.l.count(done, "TLS connections of StartTLS")
		if err != net.ErrClosed { // else OnClose says why
			return err
		}
	case <-y.gone:
	}
	return nil
}

// tlsFailure reports whether an error is of a TLS connection whose peer has left in the middle, and the class of it.
func (e *end) tlsFailure(err error) (class string, ok bool) {
	var alert tls.AlertError
	switch {
	case err == nil, !e.secret.Load():
		return "", false
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "TLS: " + rootOf(err).Error(), true
	case errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return "TLS: " + rootOf(err).Error(), false
	}
	return "", false
}

// rootOf is the innermost error.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
