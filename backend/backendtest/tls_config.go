package backendtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"
)

// serverName is the name in the certificate of tests.
const serverName = "server.test"

// authority is a certificate of a server, signed by itself, and the pool that trusts it.
var authority = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Unix(0, 0), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

// serverTLS and clientTLS are what two ends of a connection need to trust each other.
func serverTLS() *tls.Config {
	cert, pool := authority()
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool}
}

func clientTLS() *tls.Config {
	_, pool := authority()
	return &tls.Config{RootCAs: pool, ServerName: serverName}
}

func (e *Env) serverTLS() *tls.Config {
	if !e.TLS {
		return nil
	}
	return serverTLS()
}

func (e *Env) clientTLS() *tls.Config {
	if !e.TLS {
		return nil
	}
	return clientTLS()
}

// shakenHands does the handshake of a Conn. It returns nil if that fails.
func shakenHands(c *tls.Conn) net.Conn {
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		_ = c.Close()
		return nil
	}
	_ = c.SetDeadline(time.Time{})
	return c
}
