//go:build giouring && linux

package ring

import (
	"go/constant"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// renamed are the constants whose names differ by more than upper and lower case.
var renamed = map[string]string{
	"CancelAll":     "AsyncCancelAll",
	"CancelFD":      "AsyncCancelFd",
	"CancelAny":     "AsyncCancelAny",
	"CancelFDFixed": "AsyncCancelFdFixed",
	"FeatRsrcTags":  "FeatRcrcTags", // misspelt there
}

func TestConstantsOfGiouring(t *testing.T) {
	p := loadPackages(t)
	theirs := constantsByName(t, p.theirs)
	compared := 0
	for _, ours := range p.constants() {
		name := ours.Name()
		if other, ok := renamed[name]; ok {
			name = other
		}
		their, found := theirs[strings.ToLower(name)]
		if _, listed := differences[ours.Name()]; listed {
			assert.False(t, found, "%s is listed as lacking in giouring, which has it", ours.Name())
			continue
		}
		if !assert.True(t, found, "%s has no counterpart in giouring: add the name it has there to renamed, or why there is none to differences", ours.Name()) {
			continue
		}
		assert.True(t, constant.Compare(ours.Val(), token.EQL, their.Val()),
			"%s is %s, giouring's %s is %s", ours.Name(), ours.Val(), their.Name(), their.Val())
		compared++
	}
	t.Logf("%d constants were compared", compared)
	assert.NotZero(t, compared)
	for name := range renamed {
		assert.IsType(t, (*types.Const)(nil), p.ours.Scope().Lookup(name), "%s is in renamed, and is no constant of ours", name)
	}
}

// constantsByName returns the constants of a package by their names in lower case, in which ours and giouring's are the
// same.
func constantsByName(t *testing.T, p *types.Package) map[string]*types.Const {
	t.Helper()
	all := map[string]*types.Const{}
	for _, name := range p.Scope().Names() {
		if c, ok := p.Scope().Lookup(name).(*types.Const); ok {
			lower := strings.ToLower(name)
			require.NotContains(t, all, lower, "%s differs from another constant by case only", name)
			all[lower] = c
		}
	}
	return all
}
