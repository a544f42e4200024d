package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tandem-io/tandem/bench/workload"
)

// Write writes r as JSON. The file is complete or not there at all, so that a full disk does not destroy what took
// minutes to measure.
func Write(path string, r *Results) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return ReplaceFile(path, append(text, '\n'))
}

// ReplaceFile writes a temporary file beside path, and then renames it to path.
func ReplaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is gone when all went well
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// Read reads a file that Write wrote. Its errors name the file and say whether it is cut short, of another format,
// damaged, or no file of results.
func Read(path string) (*Results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

var (
	errNotResults = errors.New("not a file of results that bench run wrote")
	errCutShort   = errors.New("cut short: the file ends in the middle of the results")
)

func parse(text []byte) (*Results, error) {
	// The number of the format comes first: in another format everything else may differ.
	var head struct {
		Format *int `json:"format"`
	}
	if err := decodeWhole(text, &head); err != nil {
		return nil, err
	}
	if head.Format == nil {
		return nil, fmt.Errorf("%w: it has no format number", errNotResults)
	}
	if *head.Format != Format {
		return nil, fmt.Errorf("format %d, and this program reads format %d: use the version that wrote the file",
			*head.Format, Format)
	}
	var r Results
	if err := decodeWhole(text, &r); err != nil {
		return nil, err
	}
	return &r, r.check()
}

// decodeWhole decodes a text that is exactly one JSON object.
func decodeWhole(text []byte, into any) error {
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		return errNotResults
	}
	d := json.NewDecoder(bytes.NewReader(text))
	err := d.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutShort
	case errors.As(err, &wrongType):
		return fmt.Errorf("damaged: %w", err)
	case err != nil:
		return fmt.Errorf("%w: %w", errNotResults, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("damaged: something follows the results, from byte %d on", d.InputOffset())
	}
	return nil
}

// check reports samples that no run can have measured.
func (r *Results) check() error {
	type place struct {
		impl  string
		load  workload.Workload
		round int
	}
	seen := make(map[place]bool)
	for i, s := range r.Samples {
		if err := s.check(); err != nil {
			return fmt.Errorf("damaged: sample %d (%s, %s, round %d): %w", i, s.Impl, s.Workload.String(), s.Round, err)
		}
		at := place{s.Impl, s.Workload, s.Round}
		if seen[at] {
			return fmt.Errorf("damaged: sample %d (%s, %s, round %d) is there twice", i, s.Impl, s.Workload.String(),
				s.Round)
		}
		seen[at] = true
	}
	return nil
}
