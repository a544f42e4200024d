package integration

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// respServer is a small Redis: strings, and nothing that lasts.
type respServer struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (r *respServer) handler() *session.FrameHandler[[][]byte] {
	return &session.FrameHandler[[][]byte]{
		Codec:   respCommands{},
		Message: func(s *tandem.Stream, words [][]byte) { r.answer(s, words) },
		Invalid: func(s *tandem.Stream, err *frame.Error) {
			_, _ = s.Write([]byte("-ERR Protocol error: " + err.What + "\r\n"))
		},
	}
}

func (r *respServer) answer(s *tandem.Stream, words [][]byte) {
	if len(words) == 0 {
		return
	}
	var room [64]byte
	out := room[:0]
	r.mu.Lock()
	defer r.mu.Unlock()
	switch name := strings.ToUpper(string(words[0])); {
	case name == "PING" && len(words) == 1:
		out = append(out, "+PONG\r\n"...)
	case (name == "ECHO" || name == "PING") && len(words) == 2:
		out = appendBulk(out, words[1])
	case name == "SET" && len(words) == 3:
		r.values[string(words[1])] = bytes.Clone(words[2])
		out = append(out, "+OK\r\n"...)
	case name == "GET" && len(words) == 2:
		v, ok := r.values[string(words[1])]
		if !ok {
			out = append(out, "$-1\r\n"...)
			break
		}
		out = appendBulk(out, v)
	case name == "INCR" && len(words) == 2:
		n, _ := strconv.Atoi(string(r.values[string(words[1])]))
		r.values[string(words[1])] = strconv.AppendInt(nil, int64(n+1), 10)
		out = appendRESP(out, ':', n+1)
	default:
		out = fmt.Appendf(out, "-ERR unknown command '%.50s'\r\n", words[0])
	}
	_, _ = s.Write(out) // fails only if the stream has ended, or its queue is full
}

func appendBulk(out, value []byte) []byte {
	return append(append(appendRESP(out, '$', len(value)), value...), "\r\n"...)
}

// TestRESPServer has redis-cli and redis-benchmark use a server of frames.
func TestRESPServer(t *testing.T) {
	cli, benchmark := tool(t, "redis-cli"), tool(t, "redis-benchmark")
	onStreams(t, func(t *testing.T, tr tandem.Transport) {
		r := &respServer{values: map[string][]byte{}}
		h := r.handler()
		host, port := serveFrames(t, tr, h)
		redisCLI := func(stdin string, args ...string) string {
			return run(t, strings.NewReader(stdin), cli, append([]string{"-h", host, "-p", port}, args...)...)
		}
		t.Run("commands", func(t *testing.T) {
			assert.Equal(t, "PONG\n", redisCLI("", "PING"))
			assert.Equal(t, "a word of\nmore\n", redisCLI("", "ECHO", "a word of\nmore"))
			assert.Equal(t, "\n", redisCLI("", "GET", "nothing"))
			assert.Equal(t, "OK\n1\n2\nhello\n", redisCLI("SET key hello\nINCR n\nINCR n\nGET key\n"))
			assert.Contains(t, redisCLI("", "FLY"), "ERR unknown command 'FLY'")
		})
		t.Run("a value of megabytes", func(t *testing.T) {
			assert.Equal(t, "OK\n", redisCLI(string(large), "-x", "SET", "large"))
			sameBytes(t, append(bytes.Clone(large), '\n'), []byte(redisCLI("", "GET", "large")), "a value")
		})
		t.Run("pipe", func(t *testing.T) {
			var commands []byte
			for i := range 10_000 {
				commands, _ = respCommands{}.Append(commands, [][]byte{[]byte("SET"), fmt.Appendf(nil, "key-%d", i), large[i : i+i%300]})
			}
			assert.Contains(t, redisCLI(string(commands), "--pipe"), "errors: 0, replies: 10000")
			sameBytes(t, append(bytes.Clone(large[9999:9999+99]), '\n'), []byte(redisCLI("", "GET", "key-9999")), "a value")
		})
		for _, pipeline := range []int{1, 16} {
			t.Run(fmt.Sprintf("redis-benchmark, %d in flight", pipeline), func(t *testing.T) {
				out := run(t, nil, benchmark, "-h", host, "-p", port, "-t", "ping,set,get,incr", "-n", "20000", "-c", "20",
					"-P", strconv.Itoa(pipeline), "-d", "100", "-q")
				for _, test := range []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"} {
					rate := regexp.MustCompile(test + `: ([0-9.]+) requests per second`).FindStringSubmatch(out)
					if assert.NotNil(t, rate, "%s did not end:\n%s", test, out) {
						t.Logf("%s: %s a second", test, rate[1])
					}
				}
				assert.NotContains(t, out, "Error")
			})
		}
		require.Positive(t, len(r.values))
	})
}
