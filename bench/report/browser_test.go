//go:build linux

package report

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
)

// What chromium is told besides the address. It has nothing to look for on a network.
var browserFlags = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1400,900",
	"--enable-logging=stderr", "--v=0", "--timeout=120000", "--dump-dom",
}

//go:embed testdata/look.html
var lookPage string

// seenPage is what the page of testdata/look.html found in the report at one width.
type seenPage struct {
	Width      int      `json:"width"`
	Charts     int      `json:"charts"`
	Background string   `json:"background"`
	Wrong      []string `json:"wrong"`
}

// findBrowser skips the test loudly where there is no browser, except in CI, which has to have one.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.NotEqual(t, "true", os.Getenv("CI"), "there is no chromium, and CI has to look at the report: apt-get install chromium")
	t.Skip("NOT LOOKED AT THE REPORT: there is no chromium; apt-get install chromium")
	return ""
}

// look opens the report in a browser and returns what is there at each width, what the browser
// says on its console, and what it asked the server for.
func look(t *testing.T, report []byte, dark bool) (pages []seenPage, console, asked []string) {
	t.Helper()
	browser := findBrowser(t)
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		switch r.URL.Path {
		case "/look":
			_, _ = w.Write([]byte(lookPage))
		case "/report":
			_, _ = w.Write(report)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	scheme := map[bool]string{true: "0", false: "1"}[dark]
	args := append(slices.Clone(browserFlags), "--user-data-dir="+t.TempDir(), "--blink-settings=preferredColorScheme="+scheme,
		s.URL+"/look")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var dom, said bytes.Buffer
	cmd := exec.CommandContext(ctx, browser, args...)
	cmd.Stdout, cmd.Stderr = &dom, &said
	require.NoError(t, cmd.Run(), &said)
	found := regexp.MustCompile(`(?s)<pre id="seen">(.*?)</pre>`).FindSubmatch(dom.Bytes())
	require.NotNil(t, found, "the page did not come to its end:\n%s\n%s", &dom, &said)
	text := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(string(found[1]))
	require.NoError(t, json.Unmarshal([]byte(text), &pages), text)
	for line := range strings.Lines(said.String()) {
		if strings.Contains(line, "CONSOLE") {
			console = append(console, strings.TrimSpace(line))
		}
	}
	s.Close()
	return pages, console, asked
}

// consoleMark is what testdata/look.html says on the console, to prove that this would be heard.
const consoleMark = "the console is heard"

func TestABrowserDrawsEveryChart(t *testing.T) {
	r := benchtest.ExampleResults(t)
	want := 0
	for _, sec := range results.Summarise(r) {
		want += len(chartsOf(sec))
	}
	report, err := HTML(r, nil)
	require.NoError(t, err)
	backgrounds := make(map[string]bool)
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		t.Run(name, func(t *testing.T) {
			pages, console, asked := look(t, report, dark)
			assert.Subset(t, []string{"/look", "/report", "/favicon.ico"}, asked, "the report is self-contained")
			require.Len(t, pages, 2, "widths")
			for _, p := range pages {
				backgrounds[p.Background] = true
				assert.Equal(t, want, p.Charts, "charts at %d pixels", p.Width)
				assert.Empty(t, p.Wrong, "at %d pixels", p.Width)
			}
			require.Len(t, console, 1)
			assert.Contains(t, console[0], consoleMark)
		})
	}
	assert.Len(t, backgrounds, 2, "light and dark differ")
}

// TestABrowserSeesWhatIsWrong is about the test above: what it looks for, it finds.
func TestABrowserSeesWhatIsWrong(t *testing.T) {
	page := `<!DOCTYPE html><body><svg class="chart" viewBox="0 0 100 10" width="100"><text x="90" y="8">too far right</text></svg>
<svg class="chart" width="0"></svg><div style="width:2000px">wide</div><img src="elsewhere.png"><script>nonsense()</script></body>`
	pages, console, asked := look(t, []byte(page), false)
	assert.Contains(t, asked, "/elsewhere.png")
	for _, p := range pages {
		assert.GreaterOrEqual(t, len(p.Wrong), 3, "at %d pixels: %q", p.Width, p.Wrong)
	}
	assert.GreaterOrEqual(t, len(console), 2, "an error of a script is on the console: %q", console)
}
