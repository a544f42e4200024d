package handover

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestRefused gives what is no connection.
func TestRefused(t *testing.T) {
	balanced(t, func(t *testing.T) {
		k, a := taker(t, nil)
		result := make(chan error, 1)
		go func() { _, err := k.Next(timed(t)); result <- err }()
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		defer w.Close()
		pipes, err := numbers([]*os.File{r})
		require.NoError(t, err)
		ours, _ := sockets(t)
		fd, err := duplicate(ours)
		require.NoError(t, err)
		defer unix.Close(fd)
		for i, b := range [][]byte{
			encode(1, newConn("pipe", nil, nil, nil, 0), 1), encode(2, &Listener{Name: "connected", Network: "unix"}, 1),
		} {
			a.raw(b, append(pipes, fd)[i])
			assert.EqualValues(t, i+1, a.hears(kindRefused).number)
		}
		a.say(header{kind: kindEnd})
		a.hears(kindEnd)
		assert.Equal(t, io.EOF, await(t, result))
	})
}

// badTalk is what may not be said to the new process.
type badTalk struct {
	messages [][]byte
	files    int // with each
	want     error
}

func badTalks() map[string]badTalk {
	conn := encode(1, newConn("c", nil, nil, nil, 0), 1)
	changed := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	long := bytes.Clone(conn)
	binary.BigEndian.PutUint32(long[4:], 1<<31)
	many := [][]byte{}
	for i := range window + 1 {
		many = append(many, encode(uint64(i+1), newConn("c", nil, nil, nil, 0), 1))
	}
	return map[string]badTalk{
		"half a header":        {[][]byte{conn[:7]}, 0, io.ErrUnexpectedEOF},
		"half a payload":       {[][]byte{conn[:20]}, 1, io.ErrUnexpectedEOF},
		"no end":               {nil, 0, io.ErrUnexpectedEOF},
		"no kind":              {[][]byte{changed(conn, 0, 77)}, 1, ErrProtocol},
		"too many descriptors": {[][]byte{conn}, 2, ErrProtocol},
		"all descriptors":      {[][]byte{conn}, maxFiles, ErrProtocol},
		"no descriptor":        {[][]byte{conn}, 0, ErrProtocol},
		"some with state":      {[][]byte{encode(1, &State{Name: "s"}, 0)}, 3, ErrProtocol},
		"unknown flags":        {[][]byte{changed(conn, 1, 0x80)}, 1, ErrProtocol},
		"too long":             {[][]byte{long}, 1, ErrProtocol},
		"another number":       {[][]byte{encode(2, newConn("c", nil, nil, nil, 0), 1)}, 1, ErrProtocol},
		"fields too long":      {[][]byte{changed(conn, headerSize+3, 200)}, 1, ErrProtocol},
		"no network":           {[][]byte{encode(1, &Listener{Name: "l", Network: "udp"}, 1)}, 1, ErrProtocol},
		"YOURS of nothing":     {[][]byte{header{kind: kindYours, number: 1}.encode()}, 0, ErrProtocol},
		"KEPT of nothing":      {[][]byte{header{kind: kindKept, number: 1}.encode()}, 0, ErrProtocol},
		"TAKEN":                {[][]byte{header{kind: kindTaken, number: 1}.encode()}, 0, ErrProtocol},
		"HELLO":                {[][]byte{samples()["hello"]}, 0, ErrProtocol},
		"too many items":       {many, 1, ErrProtocol},
		"an item, and no more": {many[:1], 1, io.ErrUnexpectedEOF},
		"END too early":        {[][]byte{conn, header{kind: kindEnd}.encode()}, 1, ErrProtocol},
		"more than allowed":    {[][]byte{encode(1, newConn("", make([]byte, 3000), nil, nil, 0), 1), encode(2, newConn("", make([]byte, 3000), nil, nil, 0), 1)}, 1, ErrProtocol},
	}
}

// TestMalformed says what may not be said to the new process. That ends the conversation, and leaves no descriptor.
func TestMalformed(t *testing.T) {
	for name, c := range badTalks() {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(t *testing.T) {
				k, a := taker(t, &Options{MaxMessage: 4 << 10})
				ours, peer := sockets(t)
				fd, err := duplicate(ours)
				require.NoError(t, err)
				defer unix.Close(fd)
				var fds []int
				for range c.files {
					fds = append(fds, fd)
				}
				for _, m := range c.messages {
					if kind(m[0]) == kindEnd {
						fds = nil
					}
					a.raw(m, fds...)
				}
				require.NoError(t, a.ch.conn.CloseWrite())
				item, err := k.Next(timed(t))
				assert.Nil(t, item)
				assert.ErrorIs(t, err, c.want)
				_, again := k.Next(timed(t))
				assert.Equal(t, err, again)
				talks(t, ours, peer) // it is the old process's
			})
		})
	}
}

// TestMalformedAnswers says what may not be said to the old process.
func TestMalformedAnswers(t *testing.T) {
	for name, m := range map[string][]byte{
		"an item":             encode(1, &State{Name: "s"}, 0),
		"an answer too early": header{kind: kindTaken, number: 1}.encode(),
		"half an answer":      {byte(kindTaken)},
		"no kind":             header{kind: 50, number: 1}.encode(),
		"END, twice":          append(header{kind: kindEnd}.encode(), header{kind: kindEnd}.encode()...),
	} {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(t *testing.T) {
				g, a := giver(t)
				a.raw(m)
				require.NoError(t, a.ch.conn.CloseWrite())
				select {
				case <-g.failed:
				case <-time.After(patience):
					require.Fail(t, "the conversation goes on")
				}
				want := ErrProtocol
				if len(m) < headerSize {
					want = io.ErrUnexpectedEOF
				}
				assert.ErrorIs(t, g.Err(), want)
				assert.ErrorIs(t, g.Finish(timed(t)), want)
			})
		})
	}
}

// TestGreetings begins conversations that cannot be held.
func TestGreetings(t *testing.T) {
	greeting := func(h hello) []byte {
		return append(header{kind: kindHello, length: helloSize}.encode(), h.encode()...)
	}
	wrong := &VersionError{2, 5}
	for name, c := range map[string]struct {
		says        []byte
		giver, want error
	}{
		"a newer process":     {greeting(hello{lowest: 2, highest: 5, items: 1, bytes: 1 << 20}), wrong, wrong},
		"another protocol":    {[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), ErrProtocol, ErrProtocol},
		"nothing":             {nil, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"half of it":          {greeting(hello{lowest: 1, highest: 1})[:20], io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"an item":             {samples()["taken"], ErrProtocol, ErrProtocol},
		"versions that cross": {greeting(hello{lowest: 3, highest: 1}), ErrProtocol, ErrProtocol},
		"one like this":       {nil, ErrProtocol, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(t *testing.T) {
				begin := func(old bool, want error) {
					ours, theirs := sockets(t)
					a := newActor(t, theirs)
					says := c.says
					if name == "one like this" && old {
						says = greeting(hello{lowest: 1, highest: 1})
					} else if name == "one like this" {
						says = greeting(hello{lowest: 1, highest: 1, items: 1, bytes: 1})
					}
					if len(says) > 0 {
						a.raw(says)
					}
					require.NoError(t, theirs.CloseWrite())
					var err error
					if old {
						_, err = NewGiver(timed(t), ours, nil)
					} else {
						_, err = NewTaker(timed(t), ours, nil)
					}
					if v, ok := want.(*VersionError); ok {
						var is *VersionError
						require.ErrorAs(t, err, &is)
						assert.Equal(t, v, is)
						return
					}
					assert.ErrorIs(t, err, want)
				}
				begin(true, c.giver)
				begin(false, c.want)
			})
		})
	}
}
