package frame_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/frame"
)

// decoded is what one call of Decode returns for p.
type decoded struct {
	p       string
	m       string
	n, need int

	// Of an error:
	err    error
	offset int64
	what   string // a part of it
}

// decode gives each p to a Decoder of its own.
func decode(t *testing.T, codec frame.Codec[[]byte], table []decoded) {
	t.Helper()
	for _, want := range table {
		m, n, need, err := codec.NewDecoder().Decode([]byte(want.p))
		if string(m) != want.m || n != want.n || need != want.need {
			t.Errorf("%q: got %q, n %d, need %d; want %q, n %d, need %d",
				want.p, m, n, need, want.m, want.n, want.need)
		}
		isError(t, want.p, err, want.err, want.offset, want.what)
	}
}

// encoded is what Append returns for m.
type encoded struct {
	m      string
	out    string
	err    error
	offset int64
	what   string
}

func appendEach(t *testing.T, codec frame.Codec[[]byte], table []encoded) {
	t.Helper()
	for _, want := range table {
		out, err := codec.Append(nil, []byte(want.m))
		if string(out) != want.out {
			t.Errorf("Append(%q) = %q; want %q", want.m, out, want.out)
		}
		isError(t, want.m, err, want.err, want.offset, want.what)
	}
}

func isError(t *testing.T, of string, err, kind error, offset int64, what string) {
	t.Helper()
	if kind == nil {
		if err != nil {
			t.Errorf("%q: %v", of, err)
		}
		return
	}
	var e *frame.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Errorf("%q: %v is not a %v", of, err, kind)
		return
	}
	if e.Offset != offset || !strings.Contains(e.What, what) {
		t.Errorf("%q: got %v; want offset %d, and %q", of, err, offset, what)
	}
}

// constructed checks what a constructor returned for options: a codec, or an error that has want in it.
func constructed(t *testing.T, options any, codec frame.Codec[[]byte], err error, want string) {
	t.Helper()
	switch {
	case want == "" && (err != nil || codec == nil):
		t.Errorf("%+v: %v", options, err)
	case want != "" && (err == nil || codec != nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%+v: got %v; want %q", options, err, want)
	}
}

// sizes checks MaxSize.
func sizes(t *testing.T, table map[frame.Codec[[]byte]]int) {
	t.Helper()
	for codec, want := range table {
		if got := codec.MaxSize(); got != want {
			t.Errorf("%T%+v: MaxSize is %d, not %d", codec, codec, got, want)
		}
	}
}

// TestEndWithinFrame checks the error of a peer that finishes too early.
func TestEndWithinFrame(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			d := s.codec.NewDecoder()
			if m, ok, err := d.End(nil); m != nil || ok || err != nil {
				t.Errorf("between messages: %q, %v, %v", m, ok, err)
			}
			p := encode(t, s.codec, s.of([]byte("abc")))
			p = p[:len(p)-1]
			if _, _, need, err := d.Decode(p); need == 0 || err != nil {
				t.Fatalf("need %d, %v", need, err)
			}
			m, ok, err := d.End(p)
			if strings.HasPrefix(s.name, "Line") {
				if string(m) != "abc" || !ok || err != nil {
					t.Errorf("the last line is %q, %v, %v", m, ok, err)
				}
				return
			}
			if len(p) > 0 { // nothing is left of one fixed byte
				isError(t, string(p), err, io.ErrUnexpectedEOF, int64(len(p)), "finished after")
			}
			if m != nil || ok {
				t.Errorf("a message: %q, %v", m, ok)
			}
		})
	}
}
