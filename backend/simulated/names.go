package simulated

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Name gives a host name addresses, for what Resolver looks up. Without any the name is forgotten.
func (k *Kernel) Name(host string, addrs ...netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names[strings.TrimSuffix(host, ".")] = addrs
}

// Resolver looks up what Name was told, as DialOptions.Resolver. It is package net's resolver, with this kernel as its
// only server. Give names a dot at the end, or the search list of this machine is tried too.
func (k *Kernel) Resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial:     func(context.Context, string, string) (net.Conn, error) { return &nameServer{k: k}, nil },
	}
}

// nameServer is a connection to a name server, which answers when it has a whole query. RFC 1035; over a stream each
// message has its length in front, section 4.2.2.
type nameServer struct {
	k       *Kernel
	query   []byte
	answers bytes.Buffer
}

// Write implements net.Conn.
func (c *nameServer) Write(p []byte) (int, error) {
	c.query = append(c.query, p...)
	for len(c.query) >= 2 {
		n := int(binary.BigEndian.Uint16(c.query))
		if len(c.query) < 2+n {
			break
		}
		reply := c.k.answer(c.query[2 : 2+n])
		c.query = c.query[2+n:]
		c.answers.Write(binary.BigEndian.AppendUint16(nil, uint16(len(reply))))
		c.answers.Write(reply)
	}
	return len(p), nil
}

// Read implements net.Conn.
func (c *nameServer) Read(p []byte) (int, error) {
	n, err := c.answers.Read(p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Close implements net.Conn.
func (c *nameServer) Close() error { return nil }

// LocalAddr implements net.Conn.
func (c *nameServer) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (c *nameServer) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline implements net.Conn. Answers are there at once.
func (c *nameServer) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *nameServer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *nameServer) SetWriteDeadline(time.Time) error { return nil }

const (
	dnsHeader   = 12
	typeA       = 1
	typeAAAA    = 28
	noSuchName  = 3
	badQuery    = 1
	isReply     = 0x8180 // a response, to a recursive query
	nameAtStart = 0xc000 | dnsHeader
)

// answer is the reply to a query with one question. RFC 1035, section 4.1.
func (k *Kernel) answer(query []byte) []byte {
	host, end := question(query)
	if end < 0 {
		return append(append([]byte(nil), query[:min(2, len(query))]...), 0x81, 0x80|badQuery, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	k.mu.Lock()
	addrs := k.names[host]
	k.mu.Unlock()
	want := binary.BigEndian.Uint16(query[end:])
	var records []byte
	count := 0
	for _, a := range addrs {
		if a.Is4() != (want == typeA) || want != typeA && want != typeAAAA {
			continue
		}
		count++
		records = binary.BigEndian.AppendUint16(records, nameAtStart)
		records = binary.BigEndian.AppendUint16(records, want)
		records = append(records, 0, 1, 0, 0, 0, 60) // class IN, a minute
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
	}
	flags := uint16(isReply)
	if len(addrs) == 0 {
		flags |= noSuchName
	}
	reply := append([]byte(nil), query[:2]...)
	for _, v := range []uint16{flags, 1, uint16(count), 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, v)
	}
	reply = append(reply, query[dnsHeader:end+4]...)
	return append(reply, records...)
}

// question returns the name that a query asks for and where the type follows it; -1 if it asks for none.
func question(query []byte) (host string, end int) {
	var labels []string
	for at := dnsHeader; at < len(query); {
		n := int(query[at])
		if at++; n == 0 {
			if at+4 > len(query) {
				break
			}
			return strings.Join(labels, "."), at
		}
		if at+n > len(query) {
			break
		}
		labels = append(labels, string(query[at:at+n]))
		at += n
	}
	return "", -1
}
