//go:build giouring && linux

package ring

import (
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	pathOfOurs   = "github.com/tandem-io/tandem/backend_uring/ring"
	pathOfTheirs = "github.com/pawelgaczynski/giouring"
)

// abiFiles are the files of ours that declare the kernel's constants and structures.
var abiFiles = map[string]bool{"abi.go": true, "sqe_linux.go": true}

// packages holds both packages as the type checker sees their source. It reaches names that are not exported, and
// forgets none.
type packages struct {
	files        *token.FileSet
	ours, theirs *types.Package
}

var importPackages = sync.OnceValues(func() (p packages, err error) {
	build.Default.CgoEnabled = false // no C compiler is needed to look at package net
	p.files = token.NewFileSet()
	source := importer.ForCompiler(p.files, "source", nil)
	if p.ours, err = source.Import(pathOfOurs); err != nil {
		return p, err
	}
	p.theirs, err = source.Import(pathOfTheirs)
	return p, err
})

func loadPackages(t *testing.T) packages {
	t.Helper()
	p, err := importPackages()
	require.NoError(t, err)
	return p
}

// abi returns what ours has of the kernel's: all that abiFiles declare, and the constants that other files export.
func (p packages) abi() []types.Object {
	var all []types.Object
	for _, name := range p.ours.Scope().Names() {
		object := p.ours.Scope().Lookup(name)
		_, isConstant := object.(*types.Const)
		if p.inABIFile(object) || isConstant && object.Exported() {
			all = append(all, object)
		}
	}
	return all
}

func (p packages) inABIFile(object types.Object) bool {
	return abiFiles[filepath.Base(p.files.Position(object.Pos()).Filename)]
}

// constants are those of abi.
func (p packages) constants() []*types.Const {
	var all []*types.Const
	for _, object := range p.abi() {
		if c, ok := object.(*types.Const); ok {
			all = append(all, c)
		}
	}
	return all
}

// structs are those of abi.
func (p packages) structs() map[string]*types.Struct {
	all := map[string]*types.Struct{}
	for _, object := range p.abi() {
		if name, ok := object.(*types.TypeName); ok {
			if st, ok := name.Type().Underlying().(*types.Struct); ok {
				all[name.Name()] = st
			}
		}
	}
	return all
}

// prepMethods are the names of the methods that fill a submission entry.
func (p packages) prepMethods() []string {
	var all []string
	sqe := p.ours.Scope().Lookup("SQE").Type()
	for m := range types.NewMethodSet(types.NewPointer(sqe)).Methods() {
		if name := m.Obj().Name(); strings.HasPrefix(name, "Prep") {
			all = append(all, name)
		}
	}
	return all
}
