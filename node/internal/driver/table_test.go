package driver

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"raftlab/raft"
)

// table is a few Drivers with their disks and the messages between them on a table: nothing moves by itself.
type table struct {
	t       *testing.T
	drivers map[raft.ID]*Driver
	disks   map[raft.ID]*tableDisk
	kept    map[raft.ID]*tableSnapshots
	pile    []raft.Message
	cut     map[raft.ID]bool
}

// tableDisk keeps Saves until they are released.
type tableDisk struct {
	saves   []raft.Save
	cluster raft.ClusterID
	dropped raft.Index
}

func (d *tableDisk) SetCluster(id raft.ClusterID) { d.cluster = id }
func (d *tableDisk) Save(s raft.Save)             { d.saves = append(d.saves, s) }
func (d *tableDisk) DropPrefix(i raft.Index)      { d.dropped = i }

type tableTransport struct {
	table   *table
	members []raft.Member
}

func (t *tableTransport) Send(m []raft.Message)       { t.table.pile = append(t.table.pile, m...) }
func (t *tableTransport) SetMembers(ms []raft.Member) { t.members = ms }

// machine remembers what it applied.
type machine struct {
	applied raft.Index
	values  []string
}

func (m *machine) Apply(e raft.Entry) any {
	m.applied = e.Index
	if e.Type == raft.EntryCommand {
		m.values = append(m.values, string(e.Data))
	}
	return "result of " + string(e.Data)
}
func (m *machine) Applied() raft.Index { return m.applied }
func (m *machine) Hash() uint64        { return uint64(len(m.values)) }

func (m *machine) Freeze() func(io.Writer) error {
	applied, values := m.applied, slices.Clone(m.values)
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(frozen{applied, values}) }
}

func (m *machine) Restore(r io.Reader) error {
	var f frozen
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return err
	}
	m.applied, m.values = f.Applied, f.Values
	return nil
}

func (m *machine) Check(state io.Reader, index raft.Index) error {
	var scratch machine
	if err := scratch.Restore(state); err != nil {
		return err
	}
	if scratch.applied != index {
		return fmt.Errorf("a state of entry %d", scratch.applied)
	}
	return nil
}

type frozen struct {
	Applied raft.Index
	Values  []string
}

func newTable(t *testing.T, voters int) *table {
	t.Helper()
	tb := &table{t: t, drivers: map[raft.ID]*Driver{}, disks: map[raft.ID]*tableDisk{}, kept: map[raft.ID]*tableSnapshots{}, cut: map[raft.ID]bool{}}
	var c raft.Configuration
	for i := range voters {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(i + 1), Address: fmt.Sprintf("n%d:8000", i+1)})
	}
	data, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Members {
		tb.add(m.ID, 7, raft.HardState{Term: 1}, []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}})
	}
	return tb
}

func (tb *table) add(id raft.ID, cluster raft.ClusterID, hard raft.HardState, entries []raft.Entry) {
	tb.t.Helper()
	tb.disks[id] = &tableDisk{}
	tb.kept[id] = &tableSnapshots{table: tb, self: id, states: map[raft.Index][]byte{}}
	d, err := New(Config{
		Raft: raft.Config{ID: id, Cluster: cluster, Seed: uint64(id), TailEntries: 2}, Snapshots: tb.kept[id],
		Stored: raft.Stored{HardState: hard, Entries: entries}, Address: fmt.Sprintf("%v:8000", id), TickEvery: 10 * time.Millisecond,
		Machine: &machine{}, Disk: tb.disks[id], Transport: &tableTransport{table: tb},
	})
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.drivers[id] = d
}

// release finishes what the disk holds.
func (tb *table) release(id raft.ID) {
	saves := tb.disks[id].saves
	tb.disks[id].saves = nil
	if len(saves) > 0 {
		tb.drivers[id].Saved(saves)
	}
}

// settle delivers and saves until nothing moves.
func (tb *table) settle() {
	for range 10000 {
		moved := false
		for _, id := range tb.ids() {
			if len(tb.disks[id].saves) > 0 {
				tb.release(id)
				moved = true
			}
		}
		for _, id := range tb.ids() {
			moved = tb.kept[id].work() || moved
		}
		if len(tb.pile) > 0 {
			m := tb.pile[0]
			tb.pile = tb.pile[1:]
			moved = true
			if d := tb.drivers[m.To]; d != nil && !tb.cut[m.From] && !tb.cut[m.To] {
				d.Deliver([]raft.Message{m})
			}
		}
		if !moved {
			return
		}
	}
	tb.t.Fatal("the members do not come to rest")
}

func (tb *table) ids() []raft.ID {
	var ids []raft.ID
	for id := range tb.drivers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (tb *table) elect(id raft.ID) {
	tb.t.Helper()
	for range 100 {
		tb.drivers[id].Tick()
		tb.settle()
		if tb.drivers[id].raft.Role() == raft.Leader {
			return
		}
	}
	tb.t.Fatalf("%v was not elected", id)
}

// fate is what a proposer was told.
type fate struct {
	told    bool
	applied Applied
	err     error
}

func (tb *table) propose(id raft.ID, command string) *fate {
	f := &fate{}
	tb.drivers[id].Propose([]Proposal{{Command: []byte(command), Answer: func(a Applied, err error) {
		if f.told {
			tb.t.Errorf("the proposer of %q was told twice", command)
		}
		*f = fate{true, a, err}
	}}})
	return f
}
