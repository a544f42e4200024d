package backendtest

import (
	"errors"
	"net"
	"os"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// The rules on what Unix sockets carry besides bytes. Those on files are in files_linux.go.
var unixRules = append([]Rule{
	{"S42_PeerCredentials", peerCredentials},
	{"S42_NoPeerCredentials", noPeerCredentials},
}, unixRulesLinux...)

// peerCredentials asks who the peer is: in OnOpen, elsewhere, and after the end.
func peerCredentials(e *Env) {
	if !e.once() {
		return
	}
	ours := backend.PeerCredentials{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}
	e.Network = "unix"
	h := NewHooks()
	h.Open = func(s *session.Stream) {
		who, err := s.PeerCredentials()
		assert.NoError(e, err, "in OnOpen")
		assert.Equal(e, ours, who, "in OnOpen")
	}
	h.Close = func(s *session.Stream, _ error) {
		_, err := s.PeerCredentials()
		assert.Equal(e, net.ErrClosed, err, "in OnClose")
	}
	s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
	require.NoError(e, p.Close()) // a peer that has gone stays known
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	who, err := s.PeerCredentials()
	require.NoError(e, err)
	assert.Equal(e, ours, who)
	require.NoError(e, s.Close())
	require.NoError(e, h.Closed())
	_, err = s.PeerCredentials()
	assert.Equal(e, net.ErrClosed, err)

	s, p = e.Pair(h, session.StreamOptions{})
	c, err := s.Detach()
	require.NoError(e, err)
	_, err = s.PeerCredentials()
	assert.Equal(e, net.ErrClosed, err, "after Detach")
	require.NoError(e, c.Close())
	require.NoError(e, p.Close())
	require.NoError(e, h.Closed())
}

// noPeerCredentials asks where there is nothing to know.
func noPeerCredentials(e *Env) {
	if !e.once() {
		return
	}
	e.Network = "tcp"
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	_, err := s.PeerCredentials()
	e.opError(err, "get", "tcp")
	assert.ErrorIs(e, err, errors.ErrUnsupported)
	assert.ErrorContains(e, err, "Unix socket")
}
