package tandem_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLogKeys reads the sources: each message begins with the name of its package, and has the keys that doc.go lists and
// no others, each of which is used.
func TestLogKeys(t *testing.T) {
	documented := logKeys(t)
	used := map[string]bool{}
	calls := 0
	for _, file := range logSources(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			for _, c := range logCalls(fn) {
				calls++
				where := fmt.Sprintf("%s, in %s", file, fn.Name.Name)
				for _, m := range c.messages {
					assert.Regexp(t, `^(tandem|httpsession): [a-z]`, m, "a message of %s", where)
				}
				assert.NotEmpty(t, c.messages, "a message of %s is no text that this test finds", where)
				for _, k := range c.keys {
					used[k] = true
					assert.Contains(t, documented, k, "a key of %s; the list is in doc.go", where)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, calls, 14, "calls that were found")
	for _, k := range documented {
		assert.True(t, used[k], "nobody logs %q, which doc.go lists", k)
	}
}

// logKeys are those of the list in doc.go.
func logKeys(t *testing.T) (keys []string) {
	t.Helper()
	_, list, found := strings.Cut(read(t, "doc.go"), "Each key means the same in all messages:\n")
	require.True(t, found)
	list, _, _ = strings.Cut(list, "\n// #")
	for _, m := range regexp.MustCompile(`(?m)^//\t(\S+) {2,}\S`).FindAllStringSubmatch(list, -1) {
		keys = append(keys, m[1])
	}
	require.True(t, slices.IsSorted(keys), "the list is not in order: %v", keys)
	return keys
}

// logSources are the sources of the library, without tests and what is for tests.
func logSources(t *testing.T) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"bench", "scripts", "testdata", ".git"}, path) || strings.HasSuffix(path, "test")):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			files = append(files, path)
		}
		return nil
	}))
	return files
}

// logCall is a call of a method of a Logger.
type logCall struct{ messages, keys []string }

// logCalls are the calls in a function. Of a message, or attributes, in a variable it takes all that the function assigns.
func logCalls(fn *ast.FuncDecl) (calls []logCall) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !isLogger(call) {
			return true
		}
		var c logCall
		if _, named := call.Args[0].(*ast.Ident); named {
			c.messages = assignedTexts(fn)
		} else if s, ok := textOf(call.Args[0]); ok {
			c.messages = []string{s}
		}
		if call.Ellipsis.IsValid() {
			c.keys = attributesIn(fn)
		} else {
			c.keys = keysOf(call.Args[1:])
		}
		calls = append(calls, c)
		return true
	})
	return calls
}

// isLogger reports whether a call is one of a Logger's methods: of something that is called log or Logger.
func isLogger(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || !regexp.MustCompile(`^(Debug|Info|Warn|Error|Log|LogAttrs)(Context)?$`).MatchString(method.Sel.Name) {
		return false
	}
	switch of := method.X.(type) {
	case *ast.SelectorExpr:
		return strings.EqualFold(of.Sel.Name, "log") || of.Sel.Name == "Logger"
	case *ast.CallExpr:
		name, ok := of.Fun.(*ast.SelectorExpr)
		return ok && name.Sel.Name == "Logger"
	case *ast.Ident:
		return regexp.MustCompile(`(?i)^(log|logger|slog)$`).MatchString(of.Name)
	}
	return false
}

func textOf(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// keysOf are the keys among arguments, which are in turn with their values. One that is no text is shown as code.
func keysOf(args []ast.Expr) (keys []string) {
	for i := 0; i < len(args); i += 2 {
		k, ok := textOf(args[i])
		if !ok {
			k = fmt.Sprintf("argument %d, which is no text", i+1)
		}
		keys = append(keys, k)
	}
	return keys
}

// attributesIn are the keys of all slices of attributes that a function makes.
func attributesIn(fn *ast.FuncDecl) (keys []string) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if of, ok := n.Type.(*ast.ArrayType); ok {
				if name, ok := of.Elt.(*ast.Ident); ok && name.Name == "any" {
					keys = append(keys, keysOf(n.Elts)...)
				}
			}
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "append" && len(n.Args) > 1 {
				if to, ok := n.Args[0].(*ast.Ident); ok && to.Name == "attrs" {
					keys = append(keys, keysOf(n.Args[1:])...)
				}
			}
		}
		return true
	})
	return keys
}

// assignedTexts are the texts that a function assigns to variables that are called message.
func assignedTexts(fn *ast.FuncDecl) (texts []string) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, to := range a.Lhs {
			if name, ok := to.(*ast.Ident); ok && name.Name == "message" {
				if s, ok := textOf(a.Rhs[i]); ok {
					texts = append(texts, s)
				}
			}
		}
		return true
	})
	return texts
}
