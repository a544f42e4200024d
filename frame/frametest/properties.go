package frametest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tandem-io/tandem/frame"
)

// noSecondLook changes bytes that a Decoder has looked at, against the contract, into what would mislead it. It does not
// notice if it does not look again.
func noSecondLook[M any](s Subject[M]) error {
	if s.Mislead == nil {
		return nil
	}
	m := s.Message(bytes.Repeat([]byte("hello, world"), 25))
	stream, err := s.encode(m)
	if err != nil {
		return err
	}
	for seen := range stream {
		d := s.Codec.NewDecoder()
		if _, n, need, err := d.Decode(stream[:seen]); n != 0 || need <= 0 || err != nil {
			return fmt.Errorf("Decode of %d of %d bytes returned n %d, need %d, %w", seen, len(stream), n, need, err)
		}
		p := bytes.Clone(stream)
		s.Mislead(p[:seen])
		got, n, need, err := d.Decode(p)
		if n != len(stream) || need != 0 || err != nil {
			return fmt.Errorf("with the first %d of %d bytes changed after it has seen them, Decode returned %s, n %d, need %d, %v",
				seen, len(stream), show(got), n, need, err)
		}
	}
	return nil
}

// inPlace checks that messages are not copies, and that appending to one leaves the next one alone.
func inPlace[M any](s Subject[M]) error {
	if s.InPlace == nil {
		return nil
	}
	second := s.Message([]byte("second"))
	stream, err := s.encode(s.Message([]byte("first")), second)
	if err != nil {
		return err
	}
	d := s.Codec.NewDecoder()
	m, n, _, err := d.Decode(stream)
	if err != nil {
		return err
	}
	part := s.InPlace(m)
	if len(part) == 0 || !slices.ContainsFunc(Everywhere(n-1), func(i int) bool { return &stream[i] == &part[0] }) {
		return fmt.Errorf("the message %s is a copy", show(m))
	}
	_ = append(part, "\x00\xff"...)
	m, _, _, err = d.Decode(stream[n:])
	if m = s.clone(m); err != nil || !s.equal(m, second) {
		return fmt.Errorf("after an append to a message the next one is %s, not %s, with error %v", show(m), show(second), err)
	}
	return nil
}

// appending checks that Append leaves alone what is in front, and the message.
func appending[M any](s Subject[M]) error {
	const front = "front"
	for _, m := range s.samples() {
		for _, room := range []int{0, 3, 1000} {
			before := s.clone(m)
			out, err := s.sender().Append(append(make([]byte, 0, len(front)+room), front...), m)
			switch {
			case err != nil:
				return fmt.Errorf("Append of %s: %w", show(m), err)
			case !bytes.HasPrefix(out, []byte(front)):
				return fmt.Errorf("Append to %q has made %q", front, out)
			case !s.equal(m, before):
				return fmt.Errorf("Append has changed the message: %s was %s", show(m), show(before))
			}
			if err := s.same(out[len(front):], nil, false, Outcome[M]{Messages: []M{before}}); err != nil {
				return fmt.Errorf("what was appended to %q: %w", front, err)
			}
		}
	}
	return nil
}

// refusing checks the error for a message that is too large.
func refusing[M any](s Subject[M]) error {
	const front = "front"
	for _, m := range s.TooLarge {
		out, err := s.sender().Append(append(make([]byte, 0, 1000), front...), m)
		var e *frame.Error
		switch {
		case err == nil:
			return fmt.Errorf("Append has encoded a message that is too large, as %d bytes", len(out)-len(front))
		case !errors.Is(err, frame.ErrTooLarge) || !errors.As(err, &e) || e.Codec == "" || e.What == "" || e.Offset < 0:
			return fmt.Errorf("the error for a message that is too large is no *frame.Error of kind ErrTooLarge, with all fields: %v", err)
		case string(out) != front:
			return fmt.Errorf("Append to %q fails, and returns %.100q", front, out)
		}
	}
	return nil
}

// ending checks End between messages.
func ending[M any](s Subject[M]) error {
	stream, err := s.encode(s.Message([]byte("hello")))
	if err != nil {
		return err
	}
	d := s.Codec.NewDecoder()
	for _, p := range [][]byte{nil, {}} {
		if m, ok, err := d.End(p); ok || err != nil || !isZero(m) {
			return fmt.Errorf("End between messages returned %s, ok %v, %v", show(m), ok, err)
		}
		if _, n, _, err := d.Decode(stream); n != len(stream) || err != nil {
			return fmt.Errorf("Decode of %q has consumed %d bytes, and returned %v", stream, n, err)
		}
	}
	return nil
}

// independent has one Decoder decode while another one is in the middle of a message.
func independent[M any](s Subject[M]) error {
	messages := []M{s.Message([]byte("hello, world")), s.Message([]byte("a"))}
	stream, err := s.encode(messages...)
	if err != nil {
		return err
	}
	for cut := range stream {
		one, other := s.drive(stream), s.drive(stream)
		if err := errors.Join(one.arrive(cut), other.arrive(len(stream)), one.arrive(len(stream))); err != nil {
			return fmt.Errorf("%.500q: of two Decoders, the first of which had %d bytes when the second got all: %w", stream, cut, err)
		}
		for i, d := range []*driver[M]{one, other} {
			if err := s.Compare(d.out, Outcome[M]{Messages: messages}); err != nil {
				return fmt.Errorf("%.500q: of two Decoders, the first of which had %d bytes when the second got all, number %d: %w",
					stream, cut, i+1, err)
			}
		}
	}
	return nil
}

// noAllocation decodes and encodes without allocating.
func noAllocation[M any](s Subject[M]) error {
	if !s.NoAllocation {
		return nil
	}
	m := s.Message(bytes.Repeat([]byte("x\x00"), 32))
	stream, err := s.encode(m)
	if err != nil {
		return err
	}
	d := s.Codec.NewDecoder()
	dst := make([]byte, 0, len(stream))
	failed := 0
	decoding := testing.AllocsPerRun(100, func() {
		if _, n, _, err := d.Decode(stream[:len(stream)-1]); n != 0 || err != nil {
			failed++
		}
		if _, n, _, err := d.Decode(stream); n != len(stream) || err != nil {
			failed++
		}
	})
	encoding := testing.AllocsPerRun(100, func() {
		if out, err := s.sender().Append(dst, m); len(out) != len(stream) || err != nil {
			failed++
		}
	})
	switch {
	case failed > 0:
		return fmt.Errorf("%d calls for %q failed", failed, stream)
	case decoding > 0 || encoding > 0:
		return fmt.Errorf("Decode has allocated %v times for each message, Append %v times", decoding, encoding)
	}
	return nil
}
