package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// store is one log under test, with the same questions asked of each. Entries have indexes from 1.
type store interface {
	name() string
	// create makes a log in an empty directory, and open opens one and returns all that it holds. What open cannot
	// read it must say as an error, as the store's own program would see it.
	create(dir string) (log, error)
	open(dir string) (log, []entry, error)
	// logs are those of the files that hold the log's entries, by their names, which ascend.
	logs(names []string) []string
	// frame finds the header of the record that holds the byte at an offset of a log file.
	frame(file []byte, at int) (frame, error)
}

// log is an open log.
type log interface {
	// append adds one batch and returns when it is durable.
	append(batch []entry) error
	// begin adds one batch, and leaves the files as they are before the store has made it durable.
	begin(batch []entry) error
	close()
}

type entry struct {
	index uint64
	data  []byte
}

// frame is where a record's header is, and the length field in it.
type frame struct{ from, to, lengthFrom, lengthTo int }

// image is what the files of a directory hold, by name.
type image map[string][]byte

// look reads a directory as it is now, with the log still open: what a killed process leaves.
func look(dir string) (image, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := image{}
	for _, f := range files {
		if f.IsDir() {
			return nil, fmt.Errorf("%s: directories are not copied", filepath.Join(dir, f.Name()))
		}
		if found[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// lay writes the image into a new directory below root.
func (m image) lay(root string) (string, error) {
	dir, err := os.MkdirTemp(root, "reopen-")
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "log") // etcd keeps a second directory beside its own
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for name, data := range m {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (m image) clone() image {
	c := image{}
	for name, data := range m {
		c[name] = data
	}
	return c
}

// with replaces one file; nil removes it. m stays what it was.
func (m image) with(name string, data []byte) image {
	c := m.clone()
	if c[name] = data; data == nil {
		delete(c, name)
	}
	return c
}

// logs names the log files, oldest first.
func (m image) logs(s store) []string {
	return s.logs(slices.Sorted(maps.Keys(m)))
}

func withSuffix(names []string, suffix string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, suffix) })
}

// find returns the log file that holds an entry's data in one piece, and where.
func (m image) find(s store, data []byte) (name string, at int, ok bool) {
	for _, name := range m.logs(s) {
		if at := bytes.Index(m[name], data); at >= 0 {
			return name, at, true
		}
	}
	return "", 0, false
}

// entries makes n entries behind one, each with data that no other has and no byte of it zero.
func entries(after uint64, n, size int, life string) []entry {
	made := make([]entry, n)
	for i := range made {
		index := after + uint64(i) + 1
		word := fmt.Sprintf("%s-%d.", life, index)
		made[i] = entry{index, []byte(strings.Repeat(word, size/len(word)+1)[:size])}
	}
	return made
}
