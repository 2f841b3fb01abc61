package snapshot

import (
	"errors"
	"io"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// Read returns the state of a snapshot that the store holds. Every byte is checked before it is
// returned, and io.EOF comes only when the footer has vouched for the whole. The snapshot is not
// removed before Close.
func (st *Store) Read(s raft.Snapshot) (io.ReadCloser, error) {
	f, err := st.raw(s)
	if err != nil {
		return nil, err
	}
	explain := func(err error) error { return st.explain(f.kept.name, err) }
	r := &reader{raw: f, d: decoder{r: f.SectionReader}, explain: explain}
	if err = r.d.header(); err == nil && !same(r.d.snapshot, s) {
		err = r.d.damaged("the header is that of another snapshot")
	}
	if err != nil {
		return nil, errors.Join(explain(err), f.Close())
	}
	return r, nil
}

// Raw returns the bytes of a snapshot's file for another member's Receive, unchecked, and their
// number. The snapshot is not removed before Close.
func (st *Store) Raw(s raft.Snapshot) (io.ReadCloser, int64, error) {
	f, err := st.raw(s)
	if err != nil {
		return nil, 0, err
	}
	return f, f.Size(), nil
}

// Verify reads all of a snapshot.
func (st *Store) Verify(s raft.Snapshot) error {
	r, err := st.Read(s)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func (st *Store) raw(s raft.Snapshot) (*rawReader, error) {
	k, err := st.hold(s)
	if err != nil {
		return nil, err
	}
	f, size, err := st.open(k.name)
	if err != nil {
		st.release(k)
		return nil, err
	}
	return &rawReader{SectionReader: io.NewSectionReader(f, 0, size), st: st, kept: k, file: f}, nil
}

// rawReader is owned by one goroutine.
type rawReader struct {
	*io.SectionReader
	st   *Store
	kept *kept
	file vfs.File
}

func (r *rawReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	r.st.release(r.kept)
	return err
}

// reader is owned by one goroutine.
type reader struct {
	raw     *rawReader
	d       decoder
	rest    []byte // of the chunk, checked and not yet returned
	err     error
	explain func(error) error // adds what to do about damage
}

func (r *reader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 && len(b) > 0 {
		if r.err == nil {
			r.rest, r.err = r.d.chunk()
		}
		if r.err != nil {
			r.err = r.explain(r.err)
			return 0, r.err
		}
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) Close() error { return r.raw.Close() }
