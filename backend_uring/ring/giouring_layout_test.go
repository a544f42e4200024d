//go:build giouring && linux

package ring

import (
	"go/types"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/pawelgaczynski/giouring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counterparts are giouring's types for the structures of ours. It has no timespec of its own and uses package
// syscall's, which is that of the kernel where int is 64 bits wide; elsewhere giouring does not compile.
var counterparts = map[string]reflect.Type{
	"SQE":            reflect.TypeFor[giouring.SubmissionQueueEntry](),
	"CQE":            reflect.TypeFor[giouring.CompletionQueueEvent](),
	"KernelTimespec": reflect.TypeFor[syscall.Timespec](),
	"Params":         reflect.TypeFor[giouring.Params](),
	"SQOffsets":      reflect.TypeFor[giouring.SQRingOffsets](),
	"CQOffsets":      reflect.TypeFor[giouring.CQRingOffsets](),
	"getEventsArg":   reflect.TypeFor[giouring.GetEventsArg](),
	"RsrcUpdate":     reflect.TypeFor[giouring.RsrcUpdate](),
	"BufReg":         reflect.TypeFor[giouring.BufReg](),
	"Buf":            reflect.TypeFor[giouring.BufAndRing](),
}

// renamedFields are those whose names differ by more than upper and lower case.
var renamedFields = map[string]string{
	"SQE.OpFlags":              "OpcodeFlags",
	"SQE.BufIndex":             "BufIG",
	"SQE._pad":                 "_pad2",
	"getEventsArg.sigmaskSize": "sigMaskSz",
	"getEventsArg.minWaitUsec": "pad", // Since Linux 6.12
	"BufReg.Flags":             "Pad", // Since Linux 6.4
	"Buf.Resv":                 "Tail",
}

// field is where a field lies. The kind is there for integers, which have a sign.
type field struct {
	name         string
	kind         string
	offset, size int64
}

// fieldsOf returns the layout of a structure of ours without its structs.HostLayout.
func fieldsOf(st *types.Struct) []field {
	sizes := types.SizesFor("gc", runtime.GOARCH)
	var vars []*types.Var
	for v := range st.Fields() {
		vars = append(vars, v)
	}
	var all []field
	for i, offset := range sizes.Offsetsof(vars) {
		if vars[i].Name() == "_" {
			continue
		}
		f := field{name: vars[i].Name(), offset: offset, size: sizes.Sizeof(vars[i].Type())}
		if basic, ok := vars[i].Type().(*types.Basic); ok {
			f.kind = basic.Name()
		}
		all = append(all, f)
	}
	return all
}

func fieldOf(f reflect.StructField) field {
	r := field{name: f.Name, offset: int64(f.Offset), size: int64(f.Type.Size())}
	if f.Type.PkgPath() == "" && f.Type.Name() != "" {
		r.kind = f.Type.Name()
	}
	return r
}

func TestLayoutOfGiouring(t *testing.T) {
	structs := loadPackages(t).structs()
	for name, st := range structs {
		their, ok := counterparts[name]
		if !assert.True(t, ok, "%s is not compared with anything: add it to counterparts", name) {
			continue
		}
		assert.EqualValues(t, their.Size(), types.SizesFor("gc", runtime.GOARCH).Sizeof(st), "bytes of %s", name)
		for _, f := range fieldsOf(st) {
			compareField(t, name, f, their)
		}
	}
	for name := range counterparts {
		assert.Contains(t, structs, name, "it is in counterparts, and is no structure of ours")
	}
}

func compareField(t *testing.T, structure string, ours field, their reflect.Type) {
	t.Helper()
	full := structure + "." + ours.name
	other := ours.name
	if r, ok := renamedFields[full]; ok {
		other = r
	}
	match, found := their.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, other) })
	if _, listed := differences[full]; listed {
		assert.False(t, found && sameField(ours, fieldOf(match)), "%s is listed as a difference, and is the same in %v", full, their)
		return
	}
	if assert.True(t, found, "%s has no counterpart in %v: add it to renamedFields or to differences", full, their) {
		assert.True(t, sameField(ours, fieldOf(match)), "%s is %+v, in %v it is %+v", full, ours, their, fieldOf(match))
	}
}

// sameField compares the kinds only if both are integers: ours may have one where giouring has an array of one.
func sameField(a, b field) bool {
	return a.offset == b.offset && a.size == b.size && (a.kind == b.kind || a.kind == "" || b.kind == "")
}

// The compiler lays out the structures as TestLayoutOfGiouring reads them in the source.
func TestLayoutIsCompiled(t *testing.T) {
	structs := loadPackages(t).structs()
	for name, compiled := range map[string]reflect.Type{
		"SQE":            reflect.TypeFor[SQE](),
		"CQE":            reflect.TypeFor[CQE](),
		"KernelTimespec": reflect.TypeFor[KernelTimespec](),
		"Params":         reflect.TypeFor[Params](),
		"SQOffsets":      reflect.TypeFor[SQOffsets](),
		"CQOffsets":      reflect.TypeFor[CQOffsets](),
		"getEventsArg":   reflect.TypeFor[getEventsArg](),
		"RsrcUpdate":     reflect.TypeFor[RsrcUpdate](),
		"BufReg":         reflect.TypeFor[BufReg](),
		"Buf":            reflect.TypeFor[Buf](),
	} {
		for _, f := range fieldsOf(structs[name]) {
			c, ok := compiled.FieldByName(f.name)
			require.True(t, ok, "%s.%s", name, f.name)
			assert.True(t, sameField(f, fieldOf(c)), "%s.%s is %+v in the source, and %+v as compiled", name, f.name, f, fieldOf(c))
		}
	}
}
