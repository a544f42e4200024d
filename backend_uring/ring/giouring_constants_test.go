//go:build giouring && linux

package oracle

import (
	"go/constant"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// renamed are the constants whose names differ by more than upper and lower case.
var renamed = map[string]string{
	"CancelAll":     "AsyncCancelAll",
	"CancelFD":      "AsyncCancelFd",
	"CancelAny":     "AsyncCancelAny",
	"CancelFDFixed": "AsyncCancelFdFixed",
	"FeatRsrcTags":  "FeatRcrcTags", // misspelt there
}

func TestConstants(t *testing.T) {
	s := load(t)
	theirs := constantsByName(t, s.theirs)
	compared := 0
	for _, ours := range s.constants() {
		name := ours.Name()
		if other, ok := renamed[name]; ok {
			name = other
		}
		their, found := theirs[strings.ToLower(name)]
		_, listed := differences[ours.Name()]
		switch {
		case !found && !listed:
			t.Errorf("%s = %s has no counterpart in giouring: add the name it has there to renamed, or why there is none to differences",
				ours.Name(), ours.Val())
		case found && listed:
			t.Errorf("%s is listed as lacking in giouring, which has %s = %s", ours.Name(), their.Name(), their.Val())
		case found && !constant.Compare(ours.Val(), token.EQL, their.Val()):
			t.Errorf("%s is %s, giouring's %s is %s", ours.Name(), ours.Val(), their.Name(), their.Val())
		case found:
			compared++
		}
	}
	t.Logf("%d constants are equal", compared)
	if compared == 0 {
		t.Error("nothing was compared")
	}
	for name := range renamed {
		if _, ok := s.ours.Scope().Lookup(name).(*types.Const); !ok {
			t.Errorf("%s is in renamed, and is no constant of ours", name)
		}
	}
}

// constantsByName has the names in lower case, in which ours and giouring's are the same.
func constantsByName(t *testing.T, p *types.Package) map[string]*types.Const {
	t.Helper()
	all := map[string]*types.Const{}
	for _, name := range p.Scope().Names() {
		c, ok := p.Scope().Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		lower := strings.ToLower(name)
		if twin := all[lower]; twin != nil {
			t.Fatalf("%s and %s differ by case only", twin.Name(), name)
		}
		all[lower] = c
	}
	return all
}
