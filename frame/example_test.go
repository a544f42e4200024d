package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/tandem-io/tandem/frame"
)

// show decodes what has come, and prints what the Decoder says.
func show(d frame.Decoder[[]byte], p []byte) {
	for {
		m, n, need, err := d.Decode(p)
		p = p[n:]
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case need > 0:
			fmt.Printf("needs %d more\n", need)
			return
		}
		fmt.Printf("%q\n", m)
	}
}

// What came with a call and was not consumed comes again with the next one, in front of what is new.
func ExampleDecoder() {
	d := frame.Varint{}.NewDecoder()
	show(d, []byte("\x05hel"))
	show(d, []byte("\x05hello\x06world!"))
	// Output:
	// needs 2 more
	// "hello"
	// "world!"
	// needs 1 more
}

func ExampleError() {
	_, _, _, err := frame.U64{MaxPayload: 1000}.NewDecoder().Decode([]byte("\xe9\x03\x00\x00\x00\x00\x00\x00"))
	fmt.Println(err)
	fmt.Println(errors.Is(err, frame.ErrTooLarge))
	// Output:
	// frame: U64: at byte 0: payload of 1001 bytes exceeds the limit of 1000
	// true
}

func ExampleU64() {
	out, _ := frame.U64{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", out)
	show(frame.U64{}.NewDecoder(), out)
	// Output:
	// "\x05\x00\x00\x00\x00\x00\x00\x00hello"
	// "hello"
	// needs 8 more
}

func ExampleSimple() {
	out, _ := frame.Simple{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", out)
	show(frame.Simple{}.NewDecoder(), []byte("\x01\x00\x00\x17\x02"))
	// Output:
	// "\x01\x00\x05hello\x17"
	// ""
	// frame: Simple: at byte 0: a frame begins with 0x02, not with 0x01
}

func ExampleChecksum32() {
	out, _ := frame.Checksum32{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", out)
	out[4] = 'j'
	show(frame.Checksum32{}.NewDecoder(), out)
	// Output:
	// "\x00\x00\x00\x05hello\x00\x00\x02\x14"
	// frame: Checksum32: at byte 9: the frame says that its bytes add up to 532, but that is 534
}

// A frame begins with a type in one byte, and a length in two that counts the whole frame. The message is all behind
// the length.
func ExampleNewLengthField() {
	codec, err := frame.NewLengthField(frame.LengthFieldOptions{
		Offset:               1,
		Length:               2,
		LengthIncludesItself: true,
		Adjustment:           -1,
		Strip:                3,
		Head:                 []byte{7, 0, 0},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _ := codec.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", out)
	show(codec.NewDecoder(), out)
	// Output:
	// "\a\x00\bhello"
	// "hello"
	// needs 3 more
}

func ExampleVarint() {
	out, _ := frame.Varint{}.Append(nil, []byte("hello"))
	fmt.Printf("%q\n", out)
	show(frame.Varint{}.NewDecoder(), out)
	// Output:
	// "\x05hello"
	// "hello"
	// needs 1 more
}

func ExampleNewDelimiter() {
	codec, err := frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{[]byte(";"), []byte("--")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(codec.NewDecoder(), []byte("one;two--;"))
	// Output:
	// "one"
	// "two"
	// ""
	// needs 1 more
}

// The peer has finished without an end of its last line.
func ExampleLine() {
	d := frame.Line{}.NewDecoder()
	show(d, []byte("one\r\ntwo\nthree"))
	m, ok, err := d.End([]byte("three"))
	fmt.Printf("%q %v %v\n", m, ok, err)
	// Output:
	// "one"
	// "two"
	// needs 1 more
	// "three" true <nil>
}

func ExampleNewFixed() {
	codec, err := frame.NewFixed(4)
	if err != nil {
		fmt.Println(err)
		return
	}
	show(codec.NewDecoder(), []byte("fourfiv"))
	// Output:
	// "four"
	// needs 1 more
}

func ExampleNetstring() {
	out, _ := frame.Netstring{}.Append(nil, []byte("hello world!"))
	fmt.Printf("%q\n", out)
	show(frame.Netstring{}.NewDecoder(), []byte("3:one,03:two,"))
	// Output:
	// "12:hello world!,"
	// "one"
	// frame: Netstring: at byte 0: a length of several digits begins with 0
}

func ExampleLSP() {
	out, _ := frame.LSP{}.Append(nil, []byte(`{"jsonrpc":"2.0"}`))
	fmt.Printf("%q\n", out)
	show(frame.LSP{}.NewDecoder(), out)
	// Output:
	// "Content-Length: 17\r\n\r\n{\"jsonrpc\":\"2.0\"}"
	// "{\"jsonrpc\":\"2.0\"}"
	// needs 4 more
}

func ExampleCOBS() {
	out, _ := frame.COBS{}.Append(nil, []byte("a\x00b"))
	fmt.Printf("%q\n", out)
	show(frame.COBS{}.NewDecoder(), out)
	// Output:
	// "\x02a\x02b\x00"
	// "a\x00b"
	// needs 1 more
}

func ExamplePktLine() {
	var out []byte
	for _, m := range []frame.Pkt{{Data: []byte("hello\n")}, {Kind: frame.PktFlush}} {
		out, _ = frame.PktLine{}.Append(out, m)
	}
	fmt.Printf("%q\n", out)
	d := frame.PktLine{}.NewDecoder()
	for len(out) > 0 {
		m, n, _, err := d.Decode(out)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v %q\n", m.Kind, m.Data)
		out = out[n:]
	}
	// Output:
	// "000ahello\n0000"
	// data "hello\n"
	// flush-pkt ""
}

// The control packets of MQTT begin with a type and flags.
func ExampleNewVarintField() {
	codec, err := frame.NewVarintField(frame.VarintFieldOptions{Offset: 1, Length: 4, Minimal: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, n, _, err := codec.NewDecoder().Decode([]byte("\xc0\x00\x31\x06\x00\x01tabc"))
	fmt.Printf("type %d, %d bytes, in %d\n", m.Header[0]>>4, len(m.Body), n)
	out, _ := codec.Append(nil, frame.Message{Header: []byte{0xd0}})
	fmt.Printf("%q\n", out)
	// Output:
	// type 12, 0 bytes, in 2
	// "\xd0\x00"
}

// The protocol of memcached has a line for each command. That of a command that stores something ends with the size of a
// block of data.
func ExampleNewTextHeader() {
	codec, err := frame.NewTextHeader(frame.TextHeaderOptions{
		Ends:    [][]byte{[]byte("\r\n")},
		Trailer: []byte("\r\n"),
		Length: func(line []byte) (int, error) {
			words := bytes.Fields(line)
			if len(words) < 5 || string(words[0]) != "set" {
				return frame.NoBody, nil
			}
			n, err := strconv.ParseUint(string(words[4]), 10, 31)
			return int(n), err
		},
		MaxHeader: 2048,
		MaxBody:   1 << 20,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := []byte("get key\r\nset key 0 0 5\r\nhello\r\n")
	d := codec.NewDecoder()
	for len(p) > 0 {
		m, n, _, err := d.Decode(p)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q %q\n", m.Header, m.Body)
		p = p[n:]
	}
	// Output:
	// "get key" ""
	// "set key 0 0 5" "hello"
}

// A message above the limit is dropped, and the next one is decoded.
func ExampleError_skipped() {
	d := frame.Varint{MaxPayload: 5, SkipTooLarge: true}.NewDecoder()
	p := []byte("\x06larger\x05small")
	for len(p) > 0 {
		m, n, _, err := d.Decode(p)
		var e *frame.Error
		if errors.As(err, &e) && !e.Skipped {
			return // the connection is to be closed
		}
		fmt.Printf("%q %v\n", m, err)
		p = p[n:]
	}
	// Output:
	// "" frame: Varint: at byte 0: payload of 6 bytes exceeds the limit of 5
	// "small" <nil>
}
