package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestChain compares a chain with a slice.
func TestChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c chain[int]
		var model []int
		for i, push := range rapid.SliceOf(rapid.Bool()).Draw(t, "pushes") {
			if push {
				c.push(i)
				model = append(model, i)
			} else if l := c.pop(); len(model) == 0 {
				assert.Nil(t, l)
			} else {
				require.NotNil(t, l)
				assert.Equal(t, model[0], l.value)
				model = model[1:]
			}
			assert.Equal(t, len(model) == 0, c.empty())
			if len(model) > 0 {
				assert.Equal(t, model[0], c.first().value)
			}
		}
	})
}
