package results

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadResultsSaysWhatIsWrong(t *testing.T) {
	whole := `{"format": 1, "samples": [{"impl": "net", "workload": {"kind": "echo"}, "messages": 1, "window_ns": 1}]}`
	_, err := parse([]byte(whole))
	require.NoError(t, err)
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", errNotResults.Error()},
		"a table":             {"64 connections\n", errNotResults.Error()},
		"other JSON":          {`{"messages": 1}`, "no format number"},
		"a list":              {`[1]`, errNotResults.Error()},
		"not JSON":            {`{format}`, errNotResults.Error()},
		"another format":      {`{"format": 99, "samples": 7}`, "format 99, and this program reads format 1"},
		"cut short":           {whole[:len(whole)-9], errCutShort.Error()},
		"cut after the brace": {"{", errCutShort.Error()},
		"a wrong type":        {strings.Replace(whole, `"net"`, "7", 1), "damaged"},
		"two of them":         {whole + whole, "something follows"},
		"a bad histogram":     {strings.Replace(whole, `"messages"`, `"latency": "AAAA", "messages"`, 1), "latencies"},
		"no name":             {strings.Replace(whole, `"net"`, `""`, 1), "what was measured"},
		"no window":           {strings.Replace(whole, `"window_ns": 1`, `"window_ns": 0`, 1), "window of 0s"},
		"a negative count":    {strings.Replace(whole, `"messages": 1`, `"messages": -1`, 1), "below zero"},
		"a negative round":    {strings.Replace(whole, `"messages"`, `"round": -1, "messages"`, 1), "round"},
		"a sample twice": {strings.Replace(whole, `}]`, `},{"impl": "net", "workload": {"kind": "echo"}, "window_ns": 1}]`, 1),
			"twice"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.json")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			_, err := Read(path)
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, path)
		})
	}
	_, err = Read("nowhere.json")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// Rounds that were measured by themselves are one run.
func TestReadRounds(t *testing.T) {
	one := `{"format": 1, "program": "p", "setting": {"rounds": 1}, "samples": [{"impl": "net", "workload": {"kind": "echo"},
		"messages": 1, "window_ns": 1}]}`
	dir := t.TempDir()
	var paths []string
	for _, text := range []string{one, one, strings.Replace(one, `"p"`, `"another"`, 1)} {
		paths = append(paths, filepath.Join(dir, string(rune('a'+len(paths)))))
		require.NoError(t, os.WriteFile(paths[len(paths)-1], []byte(text), 0o600))
	}
	r, err := ReadRounds(paths[:2])
	require.NoError(t, err)
	assert.Equal(t, 2, r.Setting.Rounds)
	require.Len(t, r.Samples, 2)
	assert.Equal(t, []int{0, 1}, []int{r.Samples[0].Round, r.Samples[1].Round})
	assert.Empty(t, r.Notes)
	_, err = ReadRounds(paths)
	assert.ErrorContains(t, err, paths[2]+" does not belong to "+paths[0])
	_, err = ReadRounds([]string{paths[0], "nowhere.json"})
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestWriteResultsWhereNothingCanBeWritten(t *testing.T) {
	assert.ErrorIs(t, Write(filepath.Join(t.TempDir(), "no", "r.json"), &Results{}), fs.ErrNotExist)
}
