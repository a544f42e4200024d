package websocket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/frame/websocket"
)

// BenchmarkDecode decodes, unmasks and checks a client's text. The mask is zero, so that the same bytes can be unmasked again.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{64, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := websocket.Codec{}
			wire, err := c.Append(nil, websocket.Frame{Opcode: websocket.Text, Fin: true, Payload: []byte(strings.Repeat("x", n))})
			if err != nil {
				b.Fatal(err)
			}
			header := len(wire) - n
			wire = append(append(append([]byte{}, wire[:header]...), 0, 0, 0, 0), wire[header:]...)
			wire[1] |= 0x80
			d, a := c.NewDecoder(), websocket.NewAssembler(c)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				f, _, _, err := d.Decode(wire)
				if err != nil {
					b.Fatal(err)
				}
				if _, ok, err := a.Add(f); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, client := range []bool{false, true} {
		for _, n := range []int{64, 1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("client=%v/%d", client, n), func(b *testing.B) {
				f := websocket.Frame{Opcode: websocket.Binary, Fin: true, Payload: make([]byte, n)}
				out := make([]byte, 0, n+20)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					out, _ = websocket.Codec{Client: client}.Append(out[:0], f)
				}
			})
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	text := []byte(strings.Repeat(`{"id":1234,"name":"a name","tags":["one","two"]},`, 84))
	out := make([]byte, 0, 8192)
	b.Run("deflate", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			out, _ = websocket.AppendDeflated(out[:0], text, 0)
		}
	})
	b.Run("inflate", func(b *testing.B) {
		a := websocket.NewAssembler(websocket.Codec{Compression: true})
		f := websocket.Frame{Opcode: websocket.Text, Fin: true, RSV1: true, Payload: out}
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, ok, err := a.Add(f); !ok || err != nil {
				b.Fatal(err)
			}
		}
	})
}
