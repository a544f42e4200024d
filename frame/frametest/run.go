package frametest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Run tests a codec, each property in a subtest. It takes less than a second, unless a message is large.
func Run[M any](t *testing.T, s Subject[M]) {
	for _, p := range properties[M]() {
		t.Run(p.name, func(t *testing.T) {
			if err := p.holds(s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// property is a part of the contract of codecs.
type property[M any] struct {
	name  string
	check func(s Subject[M]) error
}

func properties[M any]() []property[M] {
	return []property[M]{
		{"round trip", roundTrip[M]},
		{"every split", everySplit[M]},
		{"no second look", noSecondLook[M]},
		{"in place", inPlace[M]},
		{"Append", appending[M]},
		{"Append refuses", refusing[M]},
		{"end", ending[M]},
		{"independent Decoders", independent[M]},
		{"any bytes", anyBytes[M]},
		{"no allocation", noAllocation[M]},
	}
}

// holds checks the property. A panic is an error.
func (p property[M]) holds(s Subject[M]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("a panic: %v", v)
		}
	}()
	return p.check(s)
}

// roundTrip encodes messages and decodes them again, in pieces of any sizes.
func roundTrip[M any](s Subject[M]) error {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var messages []M
		for range r.IntN(8) {
			messages = append(messages, s.Message(someBytes(r, r.IntN(300))))
		}
		stream, err := s.encode(messages...)
		if err != nil {
			return err
		}
		cuts := make([]int, r.IntN(20))
		for i := range cuts {
			cuts[i] = r.IntN(len(stream) + 1)
		}
		slices.Sort(cuts)
		for _, patient := range []bool{false, true} {
			if err := s.same(stream, cuts, patient, Outcome[M]{Messages: messages}); err != nil {
				return err
			}
		}
	}
	return nil
}

// someBytes are n, more of them such as formats are made of.
func someBytes(r *rand.Rand, n int) []byte {
	const often = "\r\n\x00\x01\xff\x7f\x80 :,0123456789abc-;$<"
	p := make([]byte, n)
	for i := range p {
		if p[i] = byte(r.Uint32()); r.IntN(2) == 0 {
			p[i] = often[r.IntN(len(often))]
		}
	}
	return p
}

// everySplit cuts a stream once at every place, and at all of them, and leaves off its last bytes.
func everySplit[M any](s Subject[M]) error {
	messages := s.samples()
	stream, err := s.encode(messages...)
	if err != nil {
		return err
	}
	want := Outcome[M]{Messages: messages}
	all := Everywhere(len(stream))
	splits := [][]int{nil}
	for i := range stream {
		splits = append(splits, all[i:i+1])
	}
	for _, cuts := range append(splits, all) {
		for _, patient := range []bool{false, true} {
			if err := s.same(stream, cuts, patient, want); err != nil {
				return err
			}
		}
	}
	for i := range stream {
		whole, err := s.Decode(stream[:i], nil, false)
		if err != nil {
			return fmt.Errorf("the first %d bytes of %.500q: %w", i, stream, err)
		}
		if err := s.same(stream[:i], all[:i+1], false, whole); err != nil {
			return err
		}
	}
	return nil
}

// Everywhere returns all places where n bytes can be cut, for Subject.Decode.
func Everywhere(n int) (cuts []int) {
	for i := range n + 1 {
		cuts = append(cuts, i)
	}
	return cuts
}

// encode appends the frames of messages to one another.
func (s Subject[M]) encode(messages ...M) (stream []byte, err error) {
	for _, m := range messages {
		front := len(stream)
		if stream, err = s.sender().Append(stream, m); err != nil {
			return nil, fmt.Errorf("Append(%s): %w", show(m), err)
		}
		if size := len(stream) - front; size <= 0 || size > s.Codec.MaxSize() {
			return nil, fmt.Errorf("Append(%s) has made a frame of %d bytes, and MaxSize is %d", show(m), size, s.Codec.MaxSize())
		}
	}
	return stream, nil
}

// same decodes a stream, and says what is not as it should be.
func (s Subject[M]) same(stream []byte, cuts []int, patient bool, want Outcome[M]) error {
	got, err := s.Decode(stream, cuts, patient)
	if err == nil {
		err = s.Compare(got, want)
	}
	if err == nil {
		return nil
	}
	how := "in one piece"
	switch {
	case len(cuts) > len(stream):
		how = "byte by byte"
	case len(cuts) > 0:
		how = fmt.Sprintf("cut at %d", cuts)
	}
	if patient {
		how += ", when it is needed"
	}
	return fmt.Errorf("%.500q, %s: %w", stream, how, err)
}

// Compare returns an error if two outcomes differ.
func (s Subject[M]) Compare(got, want Outcome[M]) error {
	skips := func(a, b Skipped) bool { return a.Behind == b.Behind && *a.Err == *b.Err }
	fails := got.Err == want.Err || got.Err != nil && want.Err != nil && *got.Err == *want.Err
	if fails && slices.EqualFunc(got.Messages, want.Messages, s.equal) && slices.EqualFunc(got.Skipped, want.Skipped, skips) {
		return nil
	}
	return fmt.Errorf("\ngot  %v\nwant %v", got, want)
}
