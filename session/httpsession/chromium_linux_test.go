package httpsession_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// page asks its server for something several times at once, and tells it what came.
const page = `<!DOCTYPE html><title>TLS</title><script>
(async () => {
	const body = 'x'.repeat(300000)
	const echo = async () => (await (await fetch('/echo', {method: 'POST', body})).text()) === body
	let all = []
	try {
		for (let i = 0; i < 3; i++) all = all.concat(await Promise.all([echo(), echo(), echo(), echo()]))
	} catch (e) {
		all.push(String(e))
	}
	await fetch('/seen', {method: 'POST', body: JSON.stringify(all)})
})()
</script>`

// TestTLSChromium serves a page over TLS to Chromium, which trusts anybody here.
func TestTLSChromium(t *testing.T) {
	browser := tool(t, "chromium")
	seen := make(chan []byte, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		assert.NotNil(t, r.TLS)
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("POST /seen", func(_ http.ResponseWriter, r *http.Request) {
		p, _ := io.ReadAll(r.Body)
		seen <- p
	})
	server := serverTLS()
	server.NextProtos = []string{"http/1.1"}
	for version, name := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		config := server.Clone()
		config.MaxVersion = version
		t.Run(name, func(t *testing.T) {
			serves(t, mux, &tandem.ListenOptions{TLS: config}, func(t *testing.T, address string) {
				said := browse(t, browser, "https://"+address+"/")
				select {
				case p := <-seen:
					var all []any
					require.NoError(t, json.Unmarshal(p, &all), "%s", p)
					require.Len(t, all, 12, "%s", p)
					for _, same := range all {
						assert.Equal(t, true, same)
					}
				case <-time.After(2 * patience):
					require.Fail(t, "the page did not come to its end", said())
				}
			})
		})
	}
}

// browse opens a page in a browser of its own, which ends with the test. said returns what it prints, once it has ended.
func browse(t *testing.T, browser, url string) (said func() string) {
	dir, err := os.MkdirTemp("", "browser")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--no-proxy-server", "--remote-debugging-port=0", "--ignore-certificate-errors", "--user-data-dir="+dir, url)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has processes of its own
	require.NoError(t, c.Start())
	end := sync.OnceFunc(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	t.Cleanup(end)
	return func() string {
		end()
		return out.String()
	}
}
