package httpsession_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
)

// TestClientConnPanics has the function of one exchange panic at the end of the connection: the others, and Closed, are called
// all the same.
func TestClientConnPanics(t *testing.T) {
	onLoops(t, func(t *testing.T, tr tandem.Transport) {
		address, release := scripted(t, "", false)
		defer release()
		told := false
		closed := calling(t, tr, address, &httpsession.ClientOptions{Pipeline: 2}, func(c *httpsession.ClientConn, _ func()) {
			assert.NoError(t, c.Do(request(t, "GET", "http://a/1", ""), func(*http1.Response, error) { panic("no") }))
			assert.NoError(t, c.Do(request(t, "GET", "http://a/2", ""), func(_ *http1.Response, err error) { told = err != nil }))
		})
		assert.True(t, told, "the other exchange was not told")
		assert.Equal(t, io.EOF, closed)
	})
}
