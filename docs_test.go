package tandem_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readmeProgram is the echo server of README.md.
func readmeProgram(t *testing.T) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "README.md"), "```go\n")
	program, _, ended := strings.Cut(rest, "```\n")
	require.True(t, found && ended, "README.md has no block of Go")
	return program
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// TestREADMEProgram builds the echo server of README.md as it stands there, but for the port, and talks to it.
func TestREADMEProgram(t *testing.T) {
	const address = `"127.0.0.1:7000"`
	source := readmeProgram(t)
	require.Equal(t, 1, strings.Count(source, address), "how often the program names %s", address)
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "echo")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(source, address, `"127.0.0.1:0"`, 1)), 0o600))
	out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput()
	require.NoError(t, err, "go build: %s", out)

	server := exec.Command(program)
	logged, err := server.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	exchange(t, listening(t, logged), "hello\n")
}

// listening returns the address that the program's log names. What comes after that it throws away.
func listening(t *testing.T, logged io.Reader) string {
	t.Helper()
	said := regexp.MustCompile(`echo on (\S+): `)
	lines := bufio.NewScanner(logged)
	var all strings.Builder
	for lines.Scan() {
		if m := said.FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
		all.WriteString(lines.Text() + "\n")
	}
	require.Fail(t, "the program ended without an address", "its log:\n%s", &all)
	return ""
}

func exchange(t *testing.T, address, message string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(c, message)
	require.NoError(t, err)
	answer := make([]byte, len(message))
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	require.Equal(t, message, string(answer))
}

// TestREADMEHandler keeps the handler of README.md and that of ExampleOpen the same.
func TestREADMEHandler(t *testing.T) {
	example := read(t, "example_test.go")
	_, handler, _ := strings.Cut(readmeProgram(t), "type echo")
	handler, _, _ = strings.Cut(handler, "func main")
	require.NotEmpty(t, handler)
	assert.Contains(t, example, "type echo"+handler)
}

// TestLinks looks for the target of every relative link in the pages for people.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	var pages []string
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	require.Contains(t, pages, "README.md")
	require.Contains(t, pages, filepath.Join("session", "CONTRACT.md"))
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			target = filepath.Join(filepath.Dir(page), target)
			assert.True(t, filepath.IsLocal(target), "%s: %s leads out of the repository", page, m[1])
			_, err := os.Stat(target)
			assert.NoError(t, err, "%s links to %s", page, m[1])
		}
	}
}

// TestLifetimes looks for every test that LIFETIMES.md names.
func TestLifetimes(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "backend/*test/*.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, f := range found {
			sources.WriteString(read(t, f))
		}
	}
	names := regexp.MustCompile("`(Test\\w+|S[0-9]+\\w*)[`/]").FindAllStringSubmatch(read(t, filepath.Join("backend_uring", "LIFETIMES.md")), -1)
	require.Greater(t, len(names), 40)
	for _, m := range names {
		found := strings.Contains(sources.String(), "func "+m[1]+"(") || strings.Contains(sources.String(), `"`+m[1])
		assert.True(t, found, "there is no test %s", m[1])
	}
}
