package frametest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/tandem-io/tandem/frame"
)

// Outcome is all that a Decoder makes of what a peer sends. Offsets of errors count from the peer's first byte.
type Outcome[M any] struct {
	Messages []M          // copies
	Skipped  []Skipped    // messages that were dropped
	Err      *frame.Error // why it does not go on; nil: it does
}

// Skipped is a message that a Decoder has dropped.
type Skipped struct {
	Behind int // number of messages in front of it
	Err    *frame.Error
}

// String describes an Outcome in one line.
func (o Outcome[M]) String() string {
	var b bytes.Buffer
	b.WriteString(show(o.Messages))
	for _, s := range o.Skipped {
		fmt.Fprintf(&b, ", behind %d of them %v (%v)", s.Behind, s.Err, s.Err.Err)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, ", then %v (%v)", o.Err, o.Err.Err)
	}
	return b.String()
}

// Decode gives stream to a new Decoder, in pieces that end at cuts, which ascend, and at the end of stream. With patient it
// calls Decode only when as many bytes have come as the Decoder needs, otherwise for every piece. Each call gets the bytes
// in other memory. An error says where the Decoder breaks the contract of frame.Decoder.
func (s Subject[M]) Decode(stream []byte, cuts []int, patient bool) (o Outcome[M], err error) {
	d := s.drive(stream)
	defer d.recovered(&err)
	for _, arrived := range append(slices.Clone(cuts), len(stream)) {
		if patient && arrived < d.promised {
			continue
		}
		if err = d.arrive(arrived); err != nil || d.out.Err != nil {
			return d.out, err
		}
	}
	if err = d.end(); err != nil {
		err = fmt.Errorf("%s: %w", d.last, err)
	}
	return d.out, err
}

func (s Subject[M]) drive(stream []byte) *driver[M] {
	return &driver[M]{of: s, decoder: s.Codec.NewDecoder(), most: s.Codec.MaxSize(), stream: stream}
}

// driver is the caller of one Decoder.
type driver[M any] struct {
	of       Subject[M]
	decoder  frame.Decoder[M]
	most     int // MaxSize of the codec
	stream   []byte
	consumed int
	promised int    // so much must have come before there is a message or an error, by what the Decoder needed
	memory   []byte // of the last call
	other    []byte // of the next one
	last     call
	out      Outcome[M]
}

// call is one of Decode or End.
type call struct {
	end      bool
	from, to int // bytes of the stream
	n, need  int
	ok       bool
	err      error
}

func (c call) String() string {
	if c.end {
		return fmt.Sprintf("End(bytes %d to %d) returned ok %v, %v", c.from, c.to, c.ok, c.err)
	}
	return fmt.Sprintf("Decode(bytes %d to %d) returned n %d, need %d, %v", c.from, c.to, c.n, c.need, c.err)
}

func (d *driver[M]) recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("a panic after %v: %v", d.last, v)
	}
}

// lend returns a part of the stream in memory that is not that of the call before, whose bytes are overwritten.
func (d *driver[M]) lend(to int) []byte {
	p := append(d.other[:0], d.stream[d.consumed:to]...)
	for i := range d.memory {
		d.memory[i] = ^d.memory[i]
	}
	d.memory, d.other = p, d.memory
	return p[:len(p):len(p)]
}

// arrive decodes all messages in the bytes that have come.
func (d *driver[M]) arrive(arrived int) error {
	for again := d.out.Err == nil; again; {
		var err error
		if again, err = d.step(arrived); err != nil {
			return fmt.Errorf("%s: %w", d.last, err)
		}
	}
	return nil
}

// step calls Decode once, and reports whether to call it again before more bytes have come.
func (d *driver[M]) step(arrived int) (again bool, err error) {
	p := d.lend(arrived)
	d.last = call{from: d.consumed, to: arrived}
	m, n, need, failure := d.decoder.Decode(p)
	d.last.n, d.last.need, d.last.err = n, need, failure
	var skipped *frame.Error
	skips := errors.As(failure, &skipped) && skipped.Skipped
	switch {
	case !bytes.Equal(p, d.stream[d.consumed:arrived]):
		return false, errors.New("it has changed the bytes")
	case failure == nil && need < 0:
		return false, errors.New("a need that is negative")
	case (need <= 0 || failure != nil) && arrived < d.promised:
		return false, fmt.Errorf("before that it has said that nothing happens before there are %d", d.promised)
	case failure != nil && !isZero(m):
		return false, errors.New("a message, and an error")
	case failure != nil && !skips:
		return false, d.fail(failure, len(p))
	case n < 0 || n > len(p):
		return false, fmt.Errorf("it has consumed %d of %d bytes", n, len(p))
	case need > 0 && !skips:
		return false, d.incomplete(m, n, need, len(p))
	case n == 0:
		return false, errors.New("a message of no bytes")
	case skips:
		return true, d.skip(skipped, n, len(p))
	case n > d.most:
		return false, fmt.Errorf("a message of %d bytes, more than MaxSize, which is %d", n, d.most)
	}
	if b, is := any(m).([]byte); is && b == nil {
		return false, errors.New("an empty message is nil")
	}
	d.consumed += n
	d.promised = 0
	d.out.Messages = append(d.out.Messages, d.of.clone(m))
	return true, nil
}

// incomplete checks the outcome of a Decode that needs more.
func (d *driver[M]) incomplete(m M, n, need, length int) error {
	d.promised = max(d.promised, d.consumed+length+need)
	d.consumed += n
	switch held := length - n + need; {
	case !isZero(m):
		return errors.New("a message, and a need")
	case held > d.most:
		return fmt.Errorf("%d bytes are kept or needed, more than MaxSize, which is %d", held, d.most)
	}
	return nil
}

func (d *driver[M]) skip(e *frame.Error, n, length int) error {
	there, err := d.placed(e, length)
	d.consumed += n
	d.promised = 0
	d.out.Skipped = append(d.out.Skipped, Skipped{Behind: len(d.out.Messages), Err: there})
	return err
}

// end calls End behind the last byte.
func (d *driver[M]) end() error {
	p := d.lend(len(d.stream))
	d.last = call{end: true, from: d.consumed, to: len(d.stream)}
	m, ok, failure := d.decoder.End(p)
	d.last.ok, d.last.err = ok, failure
	switch {
	case failure != nil && (ok || !isZero(m)):
		return errors.New("a message, and an error")
	case failure != nil && !errors.Is(failure, io.ErrUnexpectedEOF):
		return errors.New("an error that is not io.ErrUnexpectedEOF")
	case failure != nil:
		return d.fail(failure, len(p))
	case ok:
		d.out.Messages = append(d.out.Messages, d.of.clone(m))
	case !isZero(m):
		return errors.New("a message, and it says that there is none")
	case len(p) > 0:
		return fmt.Errorf("%d bytes that were not consumed are lost", len(p))
	}
	return nil
}

// fail notes the error of a Decoder that got so many bytes.
func (d *driver[M]) fail(failure error, length int) (err error) {
	d.out.Err, err = d.placed(failure, length)
	return err
}

// placed returns an error with its offset in the stream.
func (d *driver[M]) placed(failure error, length int) (*frame.Error, error) {
	var e *frame.Error
	if !errors.As(failure, &e) {
		return nil, errors.New("the error is no *frame.Error")
	}
	there := *e
	there.Offset += int64(d.consumed)
	switch {
	case !errors.Is(e.Err, frame.ErrTooLarge) && !errors.Is(e.Err, frame.ErrMalformed) && !errors.Is(e.Err, io.ErrUnexpectedEOF):
		return nil, errors.New("a *frame.Error whose Err is no kind of error of package frame, nor io.ErrUnexpectedEOF")
	case e.Codec == "" || e.What == "":
		return nil, errors.New("the *frame.Error lacks Codec or What")
	case e.Offset > int64(length) || there.Offset < 0:
		return nil, fmt.Errorf("the *frame.Error has offset %d, which is behind the bytes, or in front of the peer's first", e.Offset)
	}
	return &there, nil
}

// show prints a message.
func show(m any) string { return fmt.Sprintf("%.500q", m) }

func isZero[M any](m M) bool { return reflect.ValueOf(&m).Elem().IsZero() }
