package frame_test

import (
	"errors"
	"fmt"

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
