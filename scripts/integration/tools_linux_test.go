package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func inCI() bool { return os.Getenv("CI") != "" || os.Getenv("TANDEM_REQUIRE_TOOLS") == "1" }

// tool finds a program in PATH, or where one of the patterns says.
func tool(t *testing.T, name string, patterns ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); err != nil && len(found) > 0 {
			path, err = found[len(found)-1], nil
		}
	}
	if err != nil && !inCI() {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	return path
}

// run runs a program to its end, and returns what it printed.
func run(t *testing.T, stdin io.Reader, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	c.Stdin, c.Stderr = stdin, &said
	out, err := c.Output()
	require.NoError(t, err, "%s %q:\n%.500s\n%s", path, args, out, &said)
	return string(out)
}

// said is what a program has printed so far.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start starts a program that the end of the test stops by a signal, and the end of this process in any case. It returns
// when the program answers at an address.
func start(t *testing.T, c *exec.Cmd, stop syscall.Signal, network, address string) *said {
	t.Helper()
	s := &said{}
	c.Stdout, c.Stderr = s, s
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the program would end with the thread that started it
		defer close(ended)
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait()
		}
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		_ = c.Process.Signal(stop)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = c.Process.Kill()
			require.Fail(t, "it does not end", "%s:\n%s", c.Path, s)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		probe, err := net.Dial(network, address)
		if err == nil {
			_ = probe.Close()
			return s
		}
		select {
		case <-ended:
			require.Fail(t, "it has ended", "%s:\n%s", c.Path, s)
		default:
		}
		require.True(t, time.Now().Before(end), "%s does not listen: %v\n%s", c.Path, err, s)
	}
}

// freeAddress is an address for a program that cannot choose a port itself: of an IP address that others hardly use.
func freeAddress(t *testing.T) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)))
	require.NoError(t, err)
	host, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return host, port
}

// folder is a new one, with a name that is short enough for that of a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tandem")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// identity is a certificate for localhost that its own key has signed, with files of both.
type identity struct {
	certFile, keyFile string
	config            *tls.Config // of a server
	trust             *tls.Config // of a client
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	return identity{
		certFile: writeFile(t, "cert.pem", certPEM), keyFile: writeFile(t, "key.pem", keyPEM),
		config: &tls.Config{Certificates: []tls.Certificate{pair}},
		trust:  &tls.Config{RootCAs: pool, ServerName: "localhost"},
	}
}
