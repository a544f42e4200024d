package wssession_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// TestWSS has a Conn and a Session talk over TLS, and refuses a certificate that nobody knows.
func TestWSS(t *testing.T) {
	oracle := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer oracle.Close()
	roots := x509.NewCertPool()
	roots.AddCert(oracle.Certificate())
	below := &tandem.DialOptions{TLS: &tls.Config{RootCAs: roots}}
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		ended := make(chan error, 2)
		site := wssession.Serve(echo{closed: func(_ *wssession.Conn, err error) { ended <- err }}, nil)
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site, nil),
			&tandem.ListenOptions{TLS: &tls.Config{Certificates: oracle.TLS.Certificates}})
		require.NoError(t, err)
		address := l.Addr().String()

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
