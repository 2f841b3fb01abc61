package wal

import "raftlab/node/internal/vfs"

// Sizes are those of a log's files, in bytes; zero means the default. A simulation makes them small, so that files
// change as often as anything else. A log may be opened with others than it was made with.
type Sizes struct {
	Segment int64 // a file of so many bytes is followed by a new one
	Chunk   int64 // a file is filled with zeros so many bytes at a time, a multiple of 4096
}

func (s Sizes) options() options {
	o := defaults
	if s.Segment > 0 {
		o.segment = s.Segment
	}
	if s.Chunk > 0 {
		o.chunk = roundUp(s.Chunk, o.page)
	}
	return o
}

// CreateSized is Create with files of other sizes.
func CreateSized(fsys vfs.FS, dir string, id Identity, s Sizes) (*Log, error) {
	return create(fsys, dir, id, s.options())
}

// OpenSized is Open with files of other sizes.
func OpenSized(fsys vfs.FS, dir string, s Sizes) (*Log, Recovered, error) {
	return openLog(fsys, dir, s.options())
}
