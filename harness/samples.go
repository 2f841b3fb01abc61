package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// samplesFile is one line of JSON for each answer of a member, in the order in which they came.
const samplesFile = "status.jsonl"

// nodesDir has a directory for each member.
const nodesDir = "nodes"

// Samples writes what a Monitor was told to nodes/<name>/status.jsonl. A line is handed to the system before Write
// returns, so that it outlives a lab that is killed. It is safe for concurrent use.
type Samples struct {
	run *Run

	mu    sync.Mutex
	files map[string]*os.File
	err   error
}

// Samples begins to write. The files are made when the first sample of a member comes.
func (r *Run) Samples() *Samples { return &Samples{run: r, files: map[string]*os.File{}} }

// Write adds one. The first error is kept for Close: a sample that could not be written stops no run.
func (s *Samples) Write(sample Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = s.write(sample)
}

func (s *Samples) write(sample Sample) error {
	file := s.files[sample.Node]
	if file == nil {
		dir, err := s.run.Node(sample.Node)
		if err != nil {
			return err
		}
		if file, err = os.OpenFile(filepath.Join(dir, samplesFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
			return fmt.Errorf("harness: samples: %w", err)
		}
		s.files[sample.Node] = file
	}
	line, err := json.Marshal(sample)
	if err == nil {
		_, err = file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("harness: samples of %s: %w", sample.Node, err)
	}
	return nil
}

// Close ends the files, and returns the first error of all.
func (s *Samples) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	for _, file := range s.files {
		err = errors.Join(err, file.Close())
	}
	s.files = map[string]*os.File{}
	return err
}

// ReadSamples reads what Samples wrote below the directory of a run, for each member in the order in which it came. A
// last line that a crash has torn is left out. A run without samples has none, and that is no error.
func ReadSamples(dir string) (map[string][]Sample, error) {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), nodesDir, "*", samplesFile))
	if err != nil {
		return nil, fmt.Errorf("harness: samples: %w", err)
	}
	samples := map[string][]Sample{}
	var failed []error
	for _, path := range paths {
		node := filepath.Base(filepath.Dir(path))
		of, err := readSamples(dir, filepath.Join(nodesDir, node, samplesFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
		samples[node] = slices.DeleteFunc(of, func(s Sample) bool { return s.Node != node })
	}
	return samples, errors.Join(failed...)
}

func readSamples(dir, name string) ([]Sample, error) {
	data, err := ReadFile(dir, name)
	if err != nil {
		return nil, fmt.Errorf("harness: samples: %w", err)
	}
	var samples []Sample
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var sample Sample
		if err := json.Unmarshal(lines.Bytes(), &sample); err != nil {
			if bytes.HasSuffix(data, lines.Bytes()) { // without its newline
				return samples, nil
			}
			return samples, fmt.Errorf("harness: samples: %s: line %d: %w", filepath.Join(dir, name), n, err)
		}
		samples = append(samples, sample)
	}
	return samples, lines.Err()
}

// escapeGlob is a path that Glob takes literally.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
