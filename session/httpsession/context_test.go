package httpsession

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRequestContext compares with a context of package context, whenever somebody asks for what ends with it.
func TestRequestContext(t *testing.T) {
	type key struct{ other bool }
	parent := context.WithValue(context.Background(), key{}, "value")
	for name, asks := range map[string]func(c context.Context) (ended func() bool){
		"nobody": func(c context.Context) func() bool { return func() bool { return c.Err() != nil } },
		"Done": func(c context.Context) func() bool {
			done := c.Done()
			return func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			}
		},
		"child": func(c context.Context) func() bool {
			child, stop := context.WithTimeout(c, time.Hour)
			t.Cleanup(stop)
			return func() bool { return child.Err() == context.Canceled && context.Cause(child) == context.Canceled }
		},
		"AfterFunc": func(c context.Context) func() bool {
			called := make(chan struct{})
			context.AfterFunc(c, func() { close(called) })
			return func() bool {
				if c.Err() == nil {
					return false
				}
				<-called
				return true
			}
		},
		"value of a child": func(c context.Context) func() bool {
			child := context.WithValue(c, key{other: true}, 1)
			return func() bool {
				return child.Err() != nil && child.Value(key{}) == "value" && context.WithoutCancel(child).Err() == nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			own := &requestContext{parent: parent}
			before := runtime.NumGoroutine()
			ended := asks(own)
			assert.LessOrEqual(t, runtime.NumGoroutine(), before, "a context below it has a goroutine")
			assert.False(t, ended())
			require.NoError(t, own.Err())
			require.NoError(t, context.Cause(own))
			assert.Equal(t, "value", own.Value(key{}))
			own.end()
			own.end()
			assert.True(t, ended())
			require.ErrorIs(t, own.Err(), context.Canceled)
			require.ErrorIs(t, context.Cause(own), context.Canceled)
			assert.True(t, asks(own)(), "asked afterwards")
			assert.Equal(t, "value", own.Value(key{}))
			_, has := own.Deadline()
			assert.False(t, has)
		})
	}
}

// TestRequestContextAtItsEnd looks at a context in the middle of its end: whoever sees its error sees its cause, which a function
// may return.
func TestRequestContextAtItsEnd(t *testing.T) {
	c := &requestContext{parent: context.Background()}
	done, cancel, looked := c.Done(), c.cancel, false
	look := func() {
		looked = true
		assert.Equal(t, c.Err(), context.Cause(c))
		select {
		case <-done:
			assert.Error(t, c.Err())
		default:
			assert.NoError(t, c.Err())
		}
	}
	c.cancel = func() {
		look()
		cancel()
		look()
	}
	c.end()
	assert.True(t, looked)
}

// TestRequestContextIsPrinted while it ends: what is printed is what one of package context is.
func TestRequestContextIsPrinted(t *testing.T) {
	own := &requestContext{parent: context.Background()}
	other, stop := context.WithCancel(context.Background())
	defer stop()
	printed := make(chan string)
	go func() { printed <- fmt.Sprint(own) }()
	own.end()
	assert.Equal(t, fmt.Sprint(other), <-printed)
	assert.Equal(t, fmt.Sprint(context.WithoutCancel(other)), fmt.Sprint(context.WithoutCancel(own)))
}
