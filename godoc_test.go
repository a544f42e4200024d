package tandem_test

import (
	"go/ast"
	"go/build"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

const module = "github.com/tandem-io/tandem"

// documented is the documentation of one of our packages, such as "session"; "." is the root.
func documented(t *testing.T, dir string) *doc.Package {
	t.Helper()
	found, err := build.ImportDir(dir, 0)
	require.NoError(t, err)
	set, files := token.NewFileSet(), []*ast.File{}
	for _, name := range found.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(set, files, filepath.ToSlash(filepath.Join(module, dir)), doc.PreserveAST)
	require.NoError(t, err)
	return p
}

// aliases are the types of other packages that the root shows.
var aliases = map[string]reflect.Type{
	"Balance":           reflect.TypeFor[tandem.Balance](),
	"BaseHandler":       reflect.TypeFor[tandem.BaseHandler](),
	"Buffer":            reflect.TypeFor[*tandem.Buffer](),
	"DialOptions":       reflect.TypeFor[tandem.DialOptions](),
	"Drainer":           reflect.TypeFor[tandem.Drainer](),
	"Handler":           reflect.TypeFor[tandem.Handler](),
	"ListenOptions":     reflect.TypeFor[tandem.ListenOptions](),
	"Lags":              reflect.TypeFor[tandem.Lags](),
	"Listener":          reflect.TypeFor[tandem.Listener](),
	"ListenerStats":     reflect.TypeFor[tandem.ListenerStats](),
	"ConnStats":         reflect.TypeFor[tandem.ConnStats](),
	"Loop":              reflect.TypeFor[tandem.Loop](),
	"LoopStats":         reflect.TypeFor[tandem.LoopStats](),
	"PanicError":        reflect.TypeFor[*tandem.PanicError](),
	"PeerCredentials":   reflect.TypeFor[tandem.PeerCredentials](),
	"RelayOptions":      reflect.TypeFor[tandem.RelayOptions](),
	"RelayStats":        reflect.TypeFor[tandem.RelayStats](),
	"SourceLimits":      reflect.TypeFor[tandem.SourceLimits](),
	"SocketOption":      reflect.TypeFor[tandem.SocketOption](),
	"SocketOptionError": reflect.TypeFor[*tandem.SocketOptionError](),
	"Stats":             reflect.TypeFor[tandem.Stats](),
	"Stream":            reflect.TypeFor[*tandem.Stream](),
	"StreamOptions":     reflect.TypeFor[tandem.StreamOptions](),
	"StreamStats":       reflect.TypeFor[tandem.StreamStats](),
	"TLSState":          reflect.TypeFor[tandem.TLSState](),
	"Timer":             reflect.TypeFor[*tandem.Timer](),
	"VsockAddr":         reflect.TypeFor[*tandem.VsockAddr](),
}

// members are the exported methods and fields of a type, without those that it has of an embedded one.
func members(of reflect.Type) (names []string) {
	var inherited []string
	plain := of
	if of.Kind() == reflect.Pointer {
		plain = of.Elem()
	}
	if plain.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(plain) {
			if !f.IsExported() || len(f.Index) > 1 {
				continue
			}
			names = append(names, f.Name)
			if f.Anonymous {
				inherited = append(inherited, members(f.Type)...)
			}
		}
	}
	for i := range of.NumMethod() {
		if m := of.Method(i); m.IsExported() && !slices.Contains(inherited, m.Name) {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// TestAliases compares what the comment of each alias lists with what its type has.
func TestAliases(t *testing.T) {
	shown := map[string]bool{}
	for _, one := range documented(t, ".").Types {
		spec := one.Decl.Specs[0].(*ast.TypeSpec)
		target, ok := spec.Type.(*ast.SelectorExpr)
		if !ok || !spec.Assign.IsValid() {
			continue
		}
		shown[one.Name] = true
		t.Run(one.Name, func(t *testing.T) {
			of, ok := aliases[one.Name]
			require.True(t, ok, "the alias is missing in this test's list")
			link := regexp.MustCompile(`\[` + target.X.(*ast.Ident).Name + `\.` + target.Sel.Name + `\.(\w+)\]`)
			var listed []string
			for _, m := range link.FindAllStringSubmatch(one.Doc, -1) {
				listed = append(listed, m[1])
			}
			slices.Sort(listed)
			assert.Equal(t, members(of), slices.Compact(listed))
		})
	}
	for name := range aliases {
		assert.True(t, shown[name], "%s is no alias of the root", name)
	}
}

// TestSocketOptions compares the constructors of the root with those of package backend: all are there, with the same
// parameters and the same documentation, and each of the root does nothing but call the other of its name.
func TestSocketOptions(t *testing.T) {
	constructors := func(dir string, each func(*doc.Func)) map[string]string {
		all := map[string]string{}
		p := documented(t, dir)
		funcs := p.Funcs
		for _, one := range p.Types { // those of a type are listed with it
			funcs = append(funcs, one.Funcs...)
		}
		for _, f := range funcs {
			results := f.Decl.Type.Results
			if results == nil || len(results.List) != 1 {
				continue
			}
			if name, ok := results.List[0].Type.(*ast.Ident); ok && name.Name == "SocketOption" && ast.IsExported(f.Name) {
				all[f.Name] = parameters(f.Decl) + "\n" + f.Doc
				each(f)
			}
		}
		return all
	}
	below := constructors("backend", func(*doc.Func) {})
	require.NotEmpty(t, below)
	assert.Equal(t, below, constructors(".", func(f *doc.Func) {
		assert.Equal(t, "backend."+f.Name+"("+names(f.Decl)+")", returned(f.Decl), "what %s does", f.Name)
	}))
}

// names are the names of a function's parameters, as the arguments of a call.
func names(f *ast.FuncDecl) string {
	var all []string
	for _, p := range f.Type.Params.List {
		for _, name := range p.Names {
			all = append(all, name.Name)
		}
	}
	return strings.Join(all, ", ")
}

// returned is the expression that a function of one statement returns, or "".
func returned(f *ast.FuncDecl) string {
	if f.Body == nil || len(f.Body.List) != 1 {
		return ""
	}
	r, ok := f.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(r.Results) != 1 {
		return ""
	}
	return types.ExprString(r.Results[0])
}

// parameters are the names and types of a function's parameters.
func parameters(f *ast.FuncDecl) string {
	var all []string
	for _, p := range f.Type.Params.List {
		for _, name := range p.Names {
			all = append(all, name.Name)
		}
		switch typ := p.Type.(type) {
		case *ast.Ident:
			all = append(all, typ.Name)
		case *ast.SelectorExpr:
			all = append(all, typ.Sel.Name)
		}
	}
	return strings.Join(all, " ")
}

// TestDocLinks looks up every link in the documentation of every package.
func TestDocLinks(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, dir := range packageDirs(t) {
		p := documented(t, dir)
		known[p.ImportPath] = symbols(p)
	}
	for _, dir := range packageDirs(t) {
		t.Run(dir, func(t *testing.T) {
			p := documented(t, dir)
			eachLink(p, func(where string, l *comment.DocLink) {
				path, name := l.ImportPath, strings.TrimPrefix(l.Recv+"."+l.Name, ".")
				if path == "" {
					path = p.ImportPath
				}
				if strings.HasPrefix(path, module) {
					assert.Contains(t, known, path, "a link in the documentation of %s", where)
					assert.True(t, name == "" || known[path][name], "a link to %s.%s in the documentation of %s", path, name, where)
				}
			}, func(where, link string) {
				assert.Fail(t, "a link leads nowhere", "%s in the documentation of %s", link, where)
			})
		})
	}
}

// packageDirs are the directories of the module that hold packages with documentation.
func packageDirs(t *testing.T) (dirs []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return err
		case d.Name() == "testdata" || d.Name() != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		if own, _ := filepath.Glob(filepath.Join(path, "go.mod")); len(own) > 0 && path != "." {
			return fs.SkipDir
		}
		if p, err := build.ImportDir(path, 0); err == nil && len(p.GoFiles) > 0 && p.Name != "main" {
			dirs = append(dirs, path)
		}
		return nil
	}))
	require.Contains(t, dirs, "session")
	return dirs
}

// symbols are the exported names of a package, and those of methods and fields as "Type.Name".
func symbols(p *doc.Package) map[string]bool {
	all := map[string]bool{}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, name := range v.Names {
				all[name] = true
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	for _, f := range p.Funcs {
		all[f.Name] = true
	}
	for _, one := range p.Types {
		all[one.Name] = true
		values(one.Consts)
		values(one.Vars)
		for _, f := range one.Funcs {
			all[f.Name] = true
		}
		for _, m := range one.Methods {
			all[one.Name+"."+m.Name] = true
		}
		ast.Inspect(one.Decl, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok {
				return true
			}
			for _, name := range field.Names {
				all[one.Name+"."+name.Name] = true
			}
			if len(field.Names) == 0 {
				switch embedded := field.Type.(type) {
				case *ast.Ident:
					all[one.Name+"."+embedded.Name] = true
				case *ast.SelectorExpr: // of another package
					all[one.Name+"."+embedded.Sel.Name] = true
				}
			}
			return true
		})
	}
	return all
}

// eachLink calls found for every link in a package's documentation, and lost for what looks like one and is none.
func eachLink(p *doc.Package, found func(where string, l *comment.DocLink), lost func(where, link string)) {
	broken := regexp.MustCompile(`\[(\*?([a-z]\w*\.)?[A-Z]\w*(\.[A-Z]\w*)?|[a-z]{3}[a-z/]*)\]`)
	texts := func(where string, all []comment.Text) {
		for _, text := range all {
			switch text := text.(type) {
			case *comment.DocLink:
				found(where, text)
			case comment.Plain:
				for _, link := range broken.FindAllString(string(text), -1) {
					lost(where, link)
				}
			}
		}
	}
	eachDoc(p, func(where, text string) {
		for _, block := range p.Parser().Parse(text).Content {
			switch block := block.(type) {
			case *comment.Paragraph:
				texts(where, block.Text)
			case *comment.List:
				for _, item := range block.Items {
					for _, inner := range item.Content {
						texts(where, inner.(*comment.Paragraph).Text)
					}
				}
			}
		}
	})
}

// eachDoc calls fn for the comment of everything that is exported.
func eachDoc(p *doc.Package, fn func(where, text string)) {
	fn("package "+p.Name, p.Doc)
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			fn(v.Names[0], v.Doc)
		}
	}
	funcs := func(in string, all []*doc.Func) {
		for _, f := range all {
			fn(in+f.Name, f.Doc)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs("", p.Funcs)
	for _, one := range p.Types {
		fn(one.Name, one.Doc)
		values(one.Consts)
		values(one.Vars)
		funcs("", one.Funcs)
		funcs(one.Name+".", one.Methods)
	}
}
