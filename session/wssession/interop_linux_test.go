package wssession_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/wssession"
)

// Programs that others wrote: ws of Node.js, websockets of Python, and Chromium. Where they are missing the test is skipped,
// loudly; with TANDEM_REQUIRE_TOOLS=1 it fails.

// missing skips the test because of what is missing.
func missing(t *testing.T, what string, args ...any) {
	t.Helper()
	require.NotEqual(t, "1", os.Getenv("TANDEM_REQUIRE_TOOLS"), what, args)
	t.Skipf("NOT TESTED: "+what, args...)
}

// tool finds a program.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no %v", names)
	return ""
}

// program is how to run a script in another language.
type program struct {
	path           string
	env            []string
	server, client string
}

// node is for ws, as Debian's node-ws has it.
func node(t *testing.T) program {
	path := tool(t, "node", "nodejs")
	where := "NODE_PATH=" + os.Getenv("NODE_PATH") + ":/usr/share/nodejs"
	c := exec.Command(path, "-e", "require('ws')")
	if c.Env = append(os.Environ(), where); c.Run() != nil {
		missing(t, "node has no module ws: apt-get install node-ws")
	}
	return program{path, []string{where}, "server.js", "client.js"}
}

// python is for Debian's python3-websockets.
func python(t *testing.T) program {
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import websockets").Run() == nil {
			return program{name, nil, "server.py", "client.py"}
		}
	}
	missing(t, "no python3 has the module websockets: apt-get install python3-websockets")
	return program{}
}

// command makes a command of a script. The process ends with the test.
func (p program) command(t *testing.T, script string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, p.path, append([]string{filepath.Join("testdata", script)}, args...)...)
	c.Env = append(os.Environ(), p.env...)
	return c
}

func TestNode(t *testing.T)   { interoperates(t, node(t)) }
func TestPython(t *testing.T) { interoperates(t, python(t)) }

// setting is how two programs talk.
type setting struct {
	name        string
	compression bool
	files       *tlsFiles // nil: without TLS
}

func (s setting) options() wssession.Options {
	return wssession.Options{Compression: s.compression, CompressionThreshold: 1, Subprotocols: []string{"chat"}}
}

// args are the arguments of a script.
func (s setting) args() []string {
	mode := "plain"
	if s.compression {
		mode = "deflate"
	}
	if s.files == nil {
		return []string{mode}
	}
	return []string{mode, s.files.certificate, s.files.key}
}

// interoperates has the program be client and server.
func interoperates(t *testing.T, p program) {
	files := writeTLSFiles(t)
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		for _, s := range []setting{{"plain", false, nil}, {"deflate", true, nil}, {"TLS", true, files}} {
			t.Run(s.name+" client", func(t *testing.T) { theirClient(t, tr, p, s) })
			t.Run(s.name+" server", func(t *testing.T) { theirServer(t, tr, p, s) })
		}
	})
}

func theirClient(t *testing.T, tr tandem.Transport, p program, s setting) {
	ended := make(chan error, 1)
	site := wssession.Serve(echo{closed: func(_ *wssession.Conn, err error) { ended <- err }}, &wssession.ServerOptions{Options: s.options()})
	url := serve(t, tr, site, s.files) + "/"
	out, err := p.command(t, p.client, append([]string{strings.Replace(url, "http", "ws", 1)}, s.args()...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.True(t, strings.HasSuffix(strings.TrimSpace(string(out)), "ok"), "%s", out)
	closedWith(t, 4000, "enough", wait(t, "OnClose", ended))
}

func theirServer(t *testing.T, tr tandem.Transport, p program, s setting) { //nolint:funlen // one story, in order
	c := p.command(t, p.server, s.args()...)
	stdout, err := c.StdoutPipe()
	require.NoError(t, err)
	var said bytes.Buffer
	c.Stderr = &said
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "the server says nothing")
	port, found := strings.CutPrefix(lines.Text(), "port ")
	require.True(t, found, lines.Text())

	messages := []string{"", "hello", "κόσμε \U0001f600"}
	for _, n := range []int{125, 126, 127, 65535, 65536, 1 << 20} {
		messages = append(messages, strings.Repeat("x", n))
	}
	got, closed := make(chan websocket.Message, 100), make(chan error, 1)
	ponged := make(chan string, 1)
	h := &hooks{
		message: func(_ *wssession.Conn, m websocket.Message) { m.Data = bytes.Clone(m.Data); got <- m },
		pong:    func(_ *wssession.Conn, p []byte) { ponged <- string(p) },
		close:   func(_ *wssession.Conn, err error) { closed <- err },
	}
	scheme, o := "ws", &wssession.DialOptions{Options: s.options()}
	if s.files != nil {
		scheme, o.Stream = "wss", &tandem.DialOptions{TLS: &tls.Config{RootCAs: s.files.roots}}
	}
	conn, err := wssession.Dial(t.Context(), tr, scheme+"://127.0.0.1:"+port+"/", h, o)
	require.NoError(t, err)
	require.Equal(t, "chat", conn.Subprotocol())
	require.Equal(t, s.compression, conn.Compressed())
	require.NoError(t, conn.Ping([]byte("there?")))
	require.Equal(t, "there?", wait(t, "a pong", ponged))
	for _, m := range messages {
		for kind, write := range map[websocket.Opcode]func([]byte) error{websocket.Text: conn.WriteText, websocket.Binary: conn.WriteBinary} {
			require.NoError(t, write([]byte(m)))
			back := wait(t, "an echo", got)
			require.Equal(t, kind, back.Kind)
			require.True(t, m == string(back.Data), "%d bytes", len(m))
		}
	}
	for i, part := range []string{"frag", "", "ment"} {
		require.NoError(t, conn.Write(websocket.Message{Kind: websocket.Text, Data: []byte(part), More: i < 2}))
	}
	require.Equal(t, "fragment", string(wait(t, "an echo", got).Data))
	require.NoError(t, conn.CloseWith(4000, "enough"))
	var end *websocket.CloseError
	require.ErrorAs(t, wait(t, "OnClose", closed), &end)
	assert.EqualValues(t, 4000, end.Code)
	require.True(t, lines.Scan(), "the server does not tell of the end: %s", &said)
	assert.Equal(t, "closed 4000 enough", lines.Text())
}

//go:embed testdata/chat.html
var chatPage string

// room is a Handler that sends what one guest says to all of them.
type room struct {
	wssession.BaseHandler
	guests []*wssession.Conn // on one loop
}

func (r *room) OnOpen(c *wssession.Conn) { r.guests = append(r.guests, c) }

func (r *room) OnMessage(c *wssession.Conn, m websocket.Message) {
	if string(m.Data) == "close me" {
		_ = c.CloseWith(4002, "as you like")
		return
	}
	for _, guest := range r.guests {
		_ = guest.Write(m)
	}
}

func (r *room) OnClose(c *wssession.Conn, _ error) {
	r.guests = slices.DeleteFunc(r.guests, func(g *wssession.Conn) bool { return g == c })
}

// TestChromium has a page chat with itself.
func TestChromium(t *testing.T) {
	browser := tool(t, "chromium", "chromium-browser", "google-chrome")
	files := writeTLSFiles(t)
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		for _, s := range []setting{{"plain", false, nil}, {"deflate and TLS", true, files}} {
			t.Run(b.String()+" "+s.name, func(t *testing.T) {
				chats(t, openOn(t, &tandem.Options{Backend: b, Loops: 1}), browser, s)
			})
		}
	}
}

func chats(t *testing.T, tr tandem.Transport, browser string, s setting) {
	posted := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, chatPage) })
	mux.HandleFunc("POST /seen", func(_ http.ResponseWriter, r *http.Request) {
		p, _ := io.ReadAll(r.Body)
		posted <- p
	})
	mux.Handle("/chat", wssession.Serve(&room{}, &wssession.ServerOptions{Options: s.options()}))
	said := browse(t, browser, serve(t, tr, mux, s.files)+"/")
	var seen struct {
		Protocol, Extensions, Reason, Wrong string
		Code                                int
		Clean                               bool
		Said                                []string
	}
	select {
	case p := <-posted:
		require.NoError(t, json.Unmarshal(p, &seen), "%s", p)
	case <-time.After(2 * patience):
		require.Fail(t, "the page did not come to its end", said())
	}
	require.Empty(t, seen.Wrong, seen.Said)
	assert.Equal(t, "chat", seen.Protocol)
	assert.Equal(t, s.compression, strings.Contains(seen.Extensions, "permessage-deflate"), seen.Extensions)
	assert.Equal(t, 4002, seen.Code)
	assert.Equal(t, "as you like", seen.Reason)
	assert.True(t, seen.Clean)
	require.Len(t, seen.Said, 7)
	for i := range 3 {
		slices.Sort(seen.Said[2*i : 2*i+2])
	}
	assert.Equal(t, []string{
		"Ann hears good morning, κόσμε \U0001f600", "Bob hears good morning, κόσμε \U0001f600", "Ann hears bytes 0,255,1", "Bob hears bytes 0,255,1",
		"Ann hears 200000 characters", "Bob hears 200000 characters", "Bob leaves 4001 true",
	}, seen.Said)
}

// browse opens a page in a browser of its own, which ends with the test. said returns what it prints, once it has ended.
func browse(t *testing.T, browser, url string) (said func() string) {
	dir, err := os.MkdirTemp("", "browser")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--no-proxy-server", "--ignore-certificate-errors", "--remote-debugging-port=0", "--user-data-dir="+dir, url)
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
