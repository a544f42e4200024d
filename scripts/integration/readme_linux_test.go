package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readmeProgram is what stands around the lines of README.md. They belong to programs that the other tests start.
const readmeProgram = `package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httputil"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/pires/go-proxyproto"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"github.com/tandem-io/tandem"
)

func main() {}

func lines(t tandem.Transport, handler http.Handler, server *grpc.Server, config *tls.Config, ctx context.Context,
	proxy *httputil.ReverseProxy, pool *pgxpool.Config, credentials grpc.DialOption) {
BLOCK
	_, _, _, _, _, _ = err, client, cache, calls, bus, secure
}

type natsDialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (d natsDialer) Dial(network, address string) (net.Conn, error) {
	return d.dial(context.Background(), network, address)
}
`

// TestREADME compiles the lines that README.md has for the programs of these tests.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## Drop it under what you have\n")
	require.True(t, found, "README.md has no such section")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```go\n")[1:]
	require.NotEmpty(t, blocks)
	var all strings.Builder
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```\n")
		all.WriteString(b)
	}
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(strings.Replace(readmeProgram, "BLOCK", all.String(), 1)), 0o600))
	here, err := os.Getwd()
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "readme", "main.go"): source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(dir, "readme"), "./readme").CombinedOutput()
	require.NoError(t, err, "go build: %s", out)
}
