//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// httpHandler verifies the content of a request, and answers with as many bytes of the same key.
func (l *life) httpHandler() tandem.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		key, size := asked(r.URL)
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verify(body, key, 0)
		}
		if err != nil || len(body) != size {
			l.wrong("an HTTP server", fmt.Errorf("%d bytes of %d, %w", len(body), size, err))
		}
		l.verified.Add(uint64(len(body)))
		l.count(messages, "HTTP requests, by a Handler")
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return // too few descriptors, or the stream has ended: the client gets no answer
		}
		l.count(done, "HTTP connections hijacked")
		l.workers.Add(1)
		go func() {
			defer l.workers.Done()
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}()
	})
	mux.HandleFunc("/ws", l.upgrade)
	return httpsession.Handler(mux, nil)
}

// asked reads key and size out of a URL.
func asked(u *url.URL) (key uint64, size int) {
	key, _ = strconv.ParseUint(u.Query().Get("key"), 10, 64)
	size, _ = strconv.Atoi(u.Query().Get("size"))
	return key, size
}

func target(address, path string, key uint64, size int) string {
	return fmt.Sprintf("http://%s%s?key=%d&size=%d", address, path, key, size)
}

// http asks by package net/http.
func (k *client) http() error {
	p := k.place("http", "polled http")
	if p.network == "" {
		return errNoPlace
	}
	t := &http.Transport{DisableKeepAlives: k.r.IntN(4) == 0}
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t}
	k.lacks = true
	k.doing += " on " + p.kind
	for range 1 + k.r.IntN(5) {
		path := "/echo"
		if n := k.r.IntN(12); p.kind == "http" && n < 2 {
			path = []string{"/abort", "/hijack"}[n]
		}
		key, size := k.r.Uint64(), k.size()
		response, err := c.Post(target(p.address, path, key, size), "application/octet-stream", bytes.NewReader(pattern(key, 0, size)))
		if path != "/echo" {
			if err == nil {
				_ = response.Body.Close()
			}
			continue
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return err
		}
		if err := k.answer(response.StatusCode, body, key, size, "net/http"); err != nil {
			return err
		}
	}
	return nil
}

// answer verifies an answer.
func (k *client) answer(status int, body []byte, key uint64, size int, by string) error {
	if status != http.StatusOK || len(body) != size {
		return fmt.Errorf("status %d with %d bytes of %d", status, len(body), size)
	}
	k.count(messages, "HTTP responses, by "+by)
	k.verified.Add(uint64(size))
	return verify(body, key, 0)
}

// httpSession asks by a polled client, or by a pool of them.
func (k *client) httpSession() error {
	p := k.place("http", "polled http")
	if p.network == "" {
		return errNoPlace
	}
	k.lacks = true
	k.doing += " on " + p.kind
	if k.r.IntN(2) == 0 {
		x := &poolDuty{k: k, p: p, left: 1 + k.r.IntN(6), pool: httpsession.NewPool(k.l.t, nil)}
		k.l.perform(x.step)
		return x.err
	}
	x := &httpDuty{k: k, p: p, n: 1 + k.r.IntN(6), key: k.r.Uint64()}
	k.l.perform(x.step)
	return x.err
}

// httpDuty is an httpsession.Client, which writes several requests before the first answer comes.
type httpDuty struct {
	k         *client
	p         place
	key       uint64
	n         int
	sent, got int
	c         *httpsession.Client
	err       error
}

func (x *httpDuty) request(i int) (r *http1.Request, key uint64, size int) {
	key = mix(x.key + uint64(i))
	size = int(key>>16) % 20_000
	u, _ := url.Parse(target(x.p.address, "/echo", key, size))
	return &http1.Request{Request: &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: http.Header{}}, Content: pattern(key, 0, size)}, key, size
}

func (x *httpDuty) step() (over bool) {
	over, x.err = x.turn()
	if (over || x.err != nil) && x.c != nil {
		_ = x.c.Close()
	}
	return over || x.err != nil
}

func (x *httpDuty) turn() (over bool, err error) {
	if x.c == nil {
		if x.c, err = httpsession.Connect(x.k.l.t, x.p.address, &httpsession.ClientOptions{Pipeline: 3}); err != nil {
			return true, err
		}
	}
	if _, err := x.c.Drive(); err != nil {
		return true, err
	}
	if x.sent < x.n {
		r, _, _ := x.request(x.sent)
		if _, status, err := x.c.Write(r); err != nil {
			return true, err
		} else if status == polled.Success {
			x.sent++
		}
	}
	m, status, err := x.c.Read()
	if err != nil {
		return true, err
	}
	if status == polled.Data {
		_, key, size := x.request(x.got)
		if err := x.k.answer(m.StatusCode, m.Content, key, size, "httpsession.Client"); err != nil {
			return true, err
		}
		x.got++
	}
	return x.got == x.n, nil
}

// poolDuty asks by a Pool, one request after the other.
type poolDuty struct {
	httpDuty
	k    *client
	p    place
	left int
	pool *httpsession.Pool
	x    *httpsession.Exchange
	key  uint64
	size int
	err  error
}

func (x *poolDuty) step() (over bool) {
	over, x.err = x.turn()
	if over || x.err != nil {
		if x.x != nil {
			_ = x.x.Close()
		}
		_ = x.pool.Close()
	}
	return over || x.err != nil
}

func (x *poolDuty) turn() (over bool, err error) {
	if x.x == nil {
		x.httpDuty.p, x.httpDuty.key = x.p, x.k.r.Uint64()
		var r *http1.Request
		r, x.key, x.size = x.request(0)
		if x.x, err = x.pool.Do(r); err != nil {
			return true, err
		}
	}
	x.pool.Drive()
	if _, err := x.x.Drive(); err != nil {
		return true, err
	}
	m, status, err := x.x.Read()
	if err != nil || status != polled.Data {
		return err != nil, err
	}
	if err := x.k.answer(m.StatusCode, m.Content, x.key, x.size, "httpsession.Pool"); err != nil {
		return true, err
	}
	err = x.x.Close()
	x.x = nil
	x.left--
	return x.left == 0, err
}

// polledServers serve sessions of messages and of HTTP, all in one duty.
type polledServers struct {
	l        *life
	messages *polled.Listener
	http     *polled.Listener
	echoes   []*polled.MessageSession[[]byte, []byte]
	pending  map[*polled.MessageSession[[]byte, []byte]][]byte
	webs     []*httpsession.Server
}

// serve is the duty. It ends with the listeners.
func (v *polledServers) serve() (over bool) {
	s, ok, err := v.messages.Accept()
	if err != nil {
		return v.ended(err)
	}
	if ok {
		v.l.count(opened, "polled session")
		v.echoes = append(v.echoes, polled.NewFramed(s, codecs[0], 16<<10))
	}
	if s, ok, err = v.http.Accept(); err != nil {
		return v.ended(err)
	}
	if ok {
		v.l.count(opened, "polled HTTP session")
		v.webs = append(v.webs, httpsession.NewServer(s, &httpsession.ServerOptions{MessageTimeout: 5 * time.Minute}))
	}
	echoes := v.echoes[:0]
	for _, e := range v.echoes {
		if v.echo(e) {
			echoes = append(echoes, e)
		} else {
			delete(v.pending, e)
			_ = e.Close()
			v.l.count(closed, "polled session")
		}
	}
	v.echoes = echoes
	webs := v.webs[:0]
	for _, w := range v.webs {
		if v.web(w) {
			webs = append(webs, w)
		} else {
			v.l.count(closed, "polled HTTP session")
		}
	}
	v.webs = webs
	return false
}

func (v *polledServers) ended(err error) bool {
	if !errors.Is(err, net.ErrClosed) && !v.l.hasDied() {
		v.l.failf("a polled listener ended with %v", err)
	}
	return true
}

// echo is one turn of a session. It reports whether there will be another one.
func (v *polledServers) echo(s *polled.MessageSession[[]byte, []byte]) bool {
	if _, err := s.Drive(); err != nil {
		return false
	}
	m, waits := v.pending[s]
	if !waits {
		read, status, err := s.Read()
		if err != nil { // its end, or bytes of a client that speaks something else
			return err == io.EOF && s.Queued() > 0
		}
		if status != polled.Data {
			return true
		}
		m = read
		v.l.count(messages, "frames, by a polled server")
	}
	_, status, err := s.Write(m)
	if status == polled.Pending && !waits {
		v.pending[s] = append([]byte(nil), m...)
	} else if status == polled.Success {
		delete(v.pending, s)
	}
	return err == nil
}

// web is one turn of an HTTP session.
func (v *polledServers) web(s *httpsession.Server) bool {
	if _, err := s.Drive(); err != nil || s.Status() == polled.Terminated {
		_ = s.Close()
		return false
	}
	r, status, err := s.Read()
	var wrong *frame.Error
	if err != nil && err != io.EOF && !errors.As(err, &wrong) {
		_ = s.Close()
		return false
	}
	if err != nil || status != polled.Data {
		return true
	}
	key, size := asked(r.URL)
	if err := verify(r.Content, key, 0); err != nil || len(r.Content) != size {
		v.l.wrong("a polled HTTP server", fmt.Errorf("%d bytes of %d, %w", len(r.Content), size, err))
	}
	v.l.count(messages, "HTTP requests, by a polled server")
	v.l.verified.Add(uint64(size))
	_, answered, err := s.Write(&http1.Response{Response: &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, Content: r.Content})
	if err == nil && answered != polled.Success {
		v.l.failf("a polled HTTP server has no room for an answer to a client that asks one thing at a time")
	}
	if err != nil || answered != polled.Success { // such as a client that has gone
		_ = s.Close()
		return false
	}
	return true
}
