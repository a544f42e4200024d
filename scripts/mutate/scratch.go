package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// scratch is a copy of a tree that bugs are put into.
type scratch struct {
	dir string
}

// newCopy copies what git knows of a tree, or would, as it is on disk.
func newCopy(root string) (*scratch, error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tandem-mutate-")
	if err != nil {
		return nil, err
	}
	c := &scratch{dir}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := c.add(root, name); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.remove()
			return nil, err
		}
	}
	return c, nil
}

func (c *scratch) add(root, name string) error {
	from := filepath.Join(root, name)
	info, err := os.Stat(from)
	if err != nil || info.IsDir() {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	to := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode())
}

func (c *scratch) remove() { _ = os.RemoveAll(c.dir) }

// with puts a mutant in, runs something, and takes it out again.
func (c *scratch) with(m mutant, run func() verdict) verdict {
	wrong, err := m.in(c.dir)
	if err != nil {
		return verdict{outcome: gone, said: err.Error()}
	}
	path := filepath.Join(c.dir, m.File)
	right, err := os.ReadFile(path)
	if err != nil {
		return verdict{outcome: gone, said: err.Error()}
	}
	if err := os.WriteFile(path, []byte(wrong), 0o644); err != nil {
		return verdict{outcome: notMeasured, said: err.Error()}
	}
	defer func() { _ = os.WriteFile(path, right, 0o644) }()
	return run()
}

// try puts a mutant in and runs the tests.
func (c *scratch) try(m mutant, wide bool) verdict {
	return c.with(m, func() verdict {
		v := verdict{outcome: survived}
		for _, t := range m.Tests {
			if v = c.test("150s", t.Package, t.Run); v.outcome != survived {
				return v
			}
		}
		if wide {
			v = c.test("10m", "./...", everything)
		}
		return v
	})
}

// everything is all tests, with the conformance suite on one setup of each backend.
const everything = "^(Test[^C]|TestC[^o]|Test$)|^TestConformance$/^(epoll|uring)$"

// unharmed runs the tests that should notice something without any bug.
func (c *scratch) unharmed(all []mutant) verdict {
	runs := map[string][]string{}
	var packages []string
	for _, m := range all {
		for _, t := range m.Tests {
			if !slices.Contains(packages, t.Package) {
				packages = append(packages, t.Package)
			}
			if !slices.Contains(runs[t.Package], t.Run) {
				runs[t.Package] = append(runs[t.Package], t.Run)
			}
		}
	}
	for _, p := range packages {
		if v := c.test("10m", p, strings.Join(runs[p], "|")); v.outcome != survived {
			return v
		}
	}
	return verdict{outcome: survived}
}

// test runs some tests of the copy, up to the first that fails.
func (c *scratch) test(timeout, pkg, run string) verdict {
	out, err := c.goTest(nil, "-timeout="+timeout, "-run="+run, pkg)
	first, _, _ := strings.Cut(run, "|")
	return judge(bytes.NewReader(out), err != nil, strings.Count(first, "/"))
}

// goTest runs go test in the copy, with more variables of the environment.
func (c *scratch) goTest(env []string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"test", "-json", "-vet=off", "-count=1", "-failfast"}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), env...)
	return cmd.CombinedOutput()
}
