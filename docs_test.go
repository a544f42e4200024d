package tandem_test

import (
	"bufio"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// readmeProgram is the echo server of README.md.
func readmeProgram(t *testing.T) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "README.md"), "```go\n")
	program, _, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Fatal("README.md has no block of Go")
	}
	return program
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestREADMEProgram builds the echo server of README.md as it stands there, but for the port, and talks to it.
func TestREADMEProgram(t *testing.T) {
	const address = `"127.0.0.1:7000"`
	source := readmeProgram(t)
	if strings.Count(source, address) != 1 {
		t.Fatalf("the program does not listen on %s", address)
	}
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "echo")
	if err := os.WriteFile(file, []byte(strings.Replace(source, address, `"127.0.0.1:0"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}

	server := exec.Command(program)
	logged, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
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
	t.Fatalf("the program ended without an address; its log:\n%s", &all)
	return ""
}

func exchange(t *testing.T, address, message string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != message {
		t.Fatalf("got %q, %v; want %q", answer, err, message)
	}
}

// TestREADMEHandler keeps the handler of README.md and that of ExampleOpen the same.
func TestREADMEHandler(t *testing.T) {
	example := read(t, "example_test.go")
	_, handler, _ := strings.Cut(readmeProgram(t), "type echo")
	handler, _, _ = strings.Cut(handler, "func main")
	if handler == "" || !strings.Contains(example, "type echo"+handler) {
		t.Errorf("example_test.go does not have the handler of README.md:\ntype echo%s", handler)
	}
}

// TestLinks looks for the target of every relative link in the pages for people.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if !fs.ValidPath(strings.TrimSuffix(target, "/")) {
				t.Errorf("%s: %s is no path below the root", page, m[1])
			} else if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
