package backendtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// forger is a client of TLS 1.3 that sends records which crypto/tls would not: after the handshake, which crypto/tls makes,
// it encrypts for itself. RFC 8446, 5.2 and 7.2.
type forger struct {
	*tls.Conn // for reading
	e         *Env
	raw       net.Conn
	secret    []byte
	aead      cipher.AEAD
	iv        []byte
	seq       uint64
}

// forge connects a forger.
func (e *Env) forge(a net.Addr) *forger {
	e.Helper()
	var keys bytes.Buffer
	config := clientTLS()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &keys
	dialer := net.Dialer{Timeout: patience, Control: smallWindow} // so that what it does not read soon fills a queue
	raw, err := dialer.Dial(a.Network(), a.String())
	require.NoError(e, err)
	_ = raw.SetDeadline(time.Now().Add(patience))
	e.Cleanup(func() { _ = raw.Close() })
	f := &forger{e: e, raw: raw}
	f.Conn = tls.Client(f.raw, config)
	require.NoError(e, f.Handshake(), "the peer's handshake")
	if f.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		e.Skip("this machine prefers another cipher")
	}
	for line := range strings.Lines(keys.String()) {
		if words := strings.Fields(line); words[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(words[2])
			require.NoError(e, err)
			f.rekey(secret)
		}
	}
	require.NotNil(e, f.aead, "no secret in the key log")
	return f
}

// rekey goes on with another secret.
func (f *forger) rekey(secret []byte) {
	f.secret, f.seq, f.iv = secret, 0, f.expand(secret, "iv", 12)
	block, err := aes.NewCipher(f.expand(secret, "key", 16))
	require.NoError(f.e, err)
	f.aead, err = cipher.NewGCM(block)
	require.NoError(f.e, err)
}

// expand is HKDF-Expand-Label without a context.
func (f *forger) expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	key, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	require.NoError(f.e, err)
	return key
}

const (
	alertRecord     = 21
	handshakeRecord = 22
	dataRecord      = 23
)

// record encrypts a record.
func (f *forger) record(kind byte, content ...byte) []byte {
	plain := append(content[:len(content):len(content)], kind)
	n := len(plain) + f.aead.Overhead()
	header := []byte{dataRecord, 3, 3, byte(n >> 8), byte(n)}
	nonce := bytes.Clone(f.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^f.seq)
	f.seq++
	return f.aead.Seal(header, nonce, plain, header)
}

// keyUpdate makes a KeyUpdate, and goes on with the next key.
func (f *forger) keyUpdate(requested byte) []byte {
	p := f.record(handshakeRecord, 24, 0, 0, 1, requested)
	f.rekey(f.expand(f.secret, "traffic upd", sha256.Size))
	return p
}

// send sends records as they are.
func (f *forger) send(records ...[]byte) {
	f.e.Helper()
	_, err := f.raw.Write(bytes.Join(records, nil))
	require.NoError(f.e, err)
}
