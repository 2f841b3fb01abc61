package driver

import (
	"raftlab/node/internal/snapshot"
	"raftlab/node/internal/wal"
	"raftlab/raft"
)

// Bootstrap makes a new log that of a new cluster: its first entry is the configuration. One sync makes all of it
// durable, or none.
func Bootstrap(log *wal.Log, cluster raft.ClusterID, members ...raft.Member) (wal.Recovered, error) {
	found := wal.Recovered{Identity: log.Identity(), HardState: raft.HardState{Term: 1}}
	data, err := raft.Configuration{Members: members}.AppendBinary(nil)
	if err != nil {
		return found, err
	}
	found.Identity.Cluster = cluster
	found.Entries = []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}
	if err := log.SetCluster(cluster); err != nil {
		return found, err
	}
	if err := log.Append(&found.HardState, found.Entries); err != nil {
		return found, err
	}
	return found, log.Sync()
}

// Recover makes the log and the snapshots beside it fit together after a crash between them: see Mend. What it
// returns is on the disk.
func Recover(log *wal.Log, found wal.Recovered, store *snapshot.Store) (stored raft.Stored, mended bool, err error) {
	stored = raft.Stored{HardState: found.HardState, Base: found.Base.Index, BaseTerm: found.Base.Term, Entries: found.Entries}
	stored.Snapshot, _ = store.Latest()
	stored, mended, err = Mend(stored)
	if err != nil || !mended {
		return stored, mended, err
	}
	if err := log.Restart(wal.Position{Index: stored.Base, Term: stored.BaseTerm}); err != nil {
		return stored, mended, err
	}
	if err := log.Append(&stored.HardState, nil); err != nil {
		return stored, mended, err
	}
	return stored, mended, log.Sync()
}
