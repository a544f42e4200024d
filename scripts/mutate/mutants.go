package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a deliberate bug: Text of File becomes Replacement.
type mutant struct {
	Name        string `json:"name"`
	Breaks      string `json:"breaks"` // what is wrong then
	File        string `json:"file"`
	Text        string `json:"text"` // there once
	Replacement string `json:"replacement"`
	Tests       []test `json:"tests"`                // that should notice it
	Equivalent  string `json:"equivalent,omitempty"` // why nothing can notice it
}

// test says what go test has to run.
type test struct {
	Package string `json:"package"`
	Run     string `json:"run"`
}

// file is where the mutants of a tree are.
const file = "scripts/mutants.json"

// load reads the mutants of a tree.
func load(root string) ([]mutant, error) {
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	var all []mutant
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	names := map[string]bool{}
	for _, m := range all {
		switch {
		case m.Name == "" || names[m.Name]:
			return nil, fmt.Errorf("%s: the name %q is empty, or there twice", file, m.Name)
		case m.Breaks == "" || m.File == "" || m.Text == "" || m.Text == m.Replacement || len(m.Tests) == 0:
			return nil, fmt.Errorf("%s: %s lacks something", file, m.Name)
		}
		names[m.Name] = true
	}
	return all, nil
}

// errGone is of a text that is not there, or not once.
var errGone = errors.New("the text is no longer there")

// in returns File of a tree with the bug in it.
func (m mutant) in(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, m.File))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errGone, err)
	}
	switch n := strings.Count(string(b), m.Text); n {
	case 1:
		return strings.Replace(string(b), m.Text, m.Replacement, 1), nil
	case 0:
		return "", fmt.Errorf("%w: %s", errGone, m.File)
	default:
		return "", fmt.Errorf("%w once, but %d times: %s", errGone, n, m.File)
	}
}
