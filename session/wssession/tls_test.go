package wssession_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// tlsFiles are those of a server's identity, which is trusted by nobody else.
type tlsFiles struct {
	certificate, key string
	server           *tls.Config
	roots            *x509.CertPool
}

// writeTLSFiles borrows the identity of httptest's servers.
func writeTLSFiles(t *testing.T) *tlsFiles {
	oracle := httptest.NewTLSServer(http.NotFoundHandler())
	defer oracle.Close()
	f := &tlsFiles{roots: x509.NewCertPool(), server: &tls.Config{Certificates: oracle.TLS.Certificates}}
	f.roots.AddCert(oracle.Certificate())
	f.certificate, f.key = filepath.Join(t.TempDir(), "certificate.pem"), filepath.Join(t.TempDir(), "key.pem")
	key, err := x509.MarshalPKCS8PrivateKey(oracle.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	write := func(name, kind string, p []byte) {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: p}), 0o600))
	}
	write(f.certificate, "CERTIFICATE", oracle.Certificate().Raw)
	write(f.key, "PRIVATE KEY", key)
	return f
}

// serve serves h, and returns the URL without a path. files may be nil.
func serve(t *testing.T, tr tandem.Transport, h http.Handler, files *tlsFiles) (url string) {
	scheme, o := "http", &tandem.ListenOptions{}
	if files != nil {
		scheme, o.TLS = "https", files.server
	}
	l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(h, nil), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return scheme + "://" + l.Addr().String()
}

// TestWSS has a Conn and a Session talk over TLS, and refuses a certificate that nobody knows.
func TestWSS(t *testing.T) {
	files := writeTLSFiles(t)
	below := &tandem.DialOptions{TLS: &tls.Config{RootCAs: files.roots}}
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 2)
		site := wssession.Serve(echo{closed: func(_ *wssession.Conn, err error) { ended <- err }}, nil)
		address := strings.TrimPrefix(serve(t, tr, site, files), "https://")

		got := make(chan string, 1)
		h := &hooks{message: func(_ *wssession.Conn, m websocket.Message) { got <- string(m.Data) }}
		c, err := wssession.Dial(t.Context(), tr, "wss://"+address, h, &wssession.DialOptions{Stream: below})
		require.NoError(t, err)
		require.NoError(t, c.WriteText([]byte("hello")))
		require.Equal(t, "hello", wait(t, "the echo", got))
		require.NoError(t, c.Close())
		closedWith(t, 1000, "", wait(t, "OnClose", ended))

		s, err := wssession.ConnectSession(tr, "wss://"+address, &wssession.DialOptions{Stream: below})
		require.NoError(t, err)
		until(t, "the handshake", func() bool {
			_, err := s.Drive()
			require.NoError(t, err)
			return s.Status() == polled.Established
		})
		require.NoError(t, s.Close())
		closedWith(t, 1000, "", wait(t, "OnClose", ended))

		_, err = wssession.Dial(t.Context(), tr, "wss://"+address, h, nil)
		var unknown *tls.CertificateVerificationError
		require.ErrorAs(t, err, &unknown)
		_, err = wssession.Dial(t.Context(), tr, "ws://"+address, h, &wssession.DialOptions{Stream: below})
		require.ErrorContains(t, err, "wss")
	})
}
