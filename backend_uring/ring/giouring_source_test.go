//go:build giouring && linux

package oracle

import (
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	pathOfOurs   = "github.com/tandem-io/tandem/backend_uring"
	pathOfTheirs = "github.com/pawelgaczynski/giouring"
)

// abiFiles are where ours has the kernel's constants and structures.
var abiFiles = map[string]bool{"abi_linux.go": true, "sqe_linux.go": true}

// sources are both packages as the type checker sees their source, which is how what they do not export is reached, and
// how nothing can be forgotten.
type sources struct {
	files        *token.FileSet
	ours, theirs *types.Package
}

var loadSources = sync.OnceValues(func() (s sources, err error) {
	build.Default.CgoEnabled = false // package net needs no C compiler to be looked at
	s.files = token.NewFileSet()
	source := importer.ForCompiler(s.files, "source", nil)
	if s.ours, err = source.Import(pathOfOurs); err != nil {
		return s, err
	}
	s.theirs, err = source.Import(pathOfTheirs)
	return s, err
})

func load(t *testing.T) sources {
	t.Helper()
	s, err := loadSources()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// abi returns what ours has of the kernel's: all that its abiFiles declare, and the constants that it exports from others.
func (s sources) abi() []types.Object {
	var all []types.Object
	for _, name := range s.ours.Scope().Names() {
		object := s.ours.Scope().Lookup(name)
		_, isConstant := object.(*types.Const)
		if s.inABIFile(object) || isConstant && object.Exported() {
			all = append(all, object)
		}
	}
	return all
}

func (s sources) inABIFile(object types.Object) bool {
	return abiFiles[filepath.Base(s.files.Position(object.Pos()).Filename)]
}

// constants are those of abi.
func (s sources) constants() []*types.Const {
	var all []*types.Const
	for _, object := range s.abi() {
		if c, ok := object.(*types.Const); ok {
			all = append(all, c)
		}
	}
	return all
}

// structs are those of abi.
func (s sources) structs() map[string]*types.Struct {
	all := map[string]*types.Struct{}
	for _, object := range s.abi() {
		if name, ok := object.(*types.TypeName); ok {
			if st, ok := name.Type().Underlying().(*types.Struct); ok {
				all[name.Name()] = st
			}
		}
	}
	return all
}

// prepMethods are the names of the methods that fill a submission entry.
func (s sources) prepMethods() []string {
	var all []string
	sqe := s.ours.Scope().Lookup("SQE").Type()
	for m := range types.NewMethodSet(types.NewPointer(sqe)).Methods() {
		if name := m.Obj().Name(); strings.HasPrefix(name, "Prep") {
			all = append(all, name)
		}
	}
	return all
}
