package main

import (
	"errors"

	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// ours is the log that this module lies in.
type ours struct{}

type ourLog struct {
	log  *wal.Log
	fail *bool // every fsync from now on
}

func (ours) name() string                 { return "raftlab" }
func (ours) logs(names []string) []string { return withSuffix(names, ".wal") }

var errNotSynced = errors.New("compare: the power fails here")

// breakable is the machine's file system, on which fsync can be made to fail.
func breakable() (vfs.FS, *bool) {
	fail := new(bool)
	return vfs.Hook{FS: vfs.OS{}, Before: func(op vfs.Op, _ string) error {
		if *fail && op == vfs.OpSync {
			return errNotSynced
		}
		return nil
	}}, fail
}

func (ours) create(dir string) (log, error) {
	fs, fail := breakable()
	l, err := wal.Create(fs, dir, wal.Identity{ID: 7, Cluster: 9, Address: "127.0.0.1:8000"})
	if err != nil {
		return nil, err
	}
	return ourLog{l, fail}, nil
}

func (ours) open(dir string) (log, []entry, error) {
	fs, fail := breakable()
	l, found, err := wal.Open(fs, dir)
	if err != nil {
		return nil, nil, err
	}
	var read []entry
	for _, e := range found.Entries {
		read = append(read, entry{uint64(e.Index), e.Data})
	}
	return ourLog{l, fail}, read, nil
}

func (l ourLog) append(batch []entry) error {
	var es []raft.Entry
	for _, e := range batch {
		es = append(es, raft.Entry{Term: 1, Index: raft.Index(e.index), Data: e.data})
	}
	return errors.Join(l.log.Append(nil, es), l.log.Sync())
}

func (l ourLog) begin(batch []entry) error {
	*l.fail = true
	if err := l.append(batch); !errors.Is(err, errNotSynced) {
		return errors.Join(err, errors.New("compare: the batch was written without an fsync"))
	}
	return nil
}

func (l ourLog) close() { _ = l.log.Close() }

// A record's header has 40 bytes, its length stands first.
func (ours) frame(_ []byte, at int) (frame, error) {
	return frame{at - 40, at, at - 40, at - 36}, nil
}
