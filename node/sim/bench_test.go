//go:build unix

package sim

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"raftlab/raft"
)

// cpu is the time that the process has had of a processor: on a machine with neighbours, the clock on the wall measures
// them.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, began time.Duration, messages uint64, virtual time.Duration) {
	s := (cpu() - began).Seconds()
	b.ReportMetric(float64(messages)/s, "messages/cpu-s")
	b.ReportMetric(virtual.Seconds()/s, "virtual-s/cpu-s")
	b.ReportMetric(float64(b.N)/s, "ops/cpu-s")
}

// BenchmarkWholeNode runs the default swarm: everything real, all faults, all checks. One operation is one seed.
//
//	GOGC=1000 go test ./node/sim -run XXX -bench . -cpu 1
func BenchmarkWholeNode(b *testing.B) {
	began := cpu()
	var messages uint64
	var virtual time.Duration
	for seed := uint64(0); b.Loop(); seed++ {
		r, err := Run(seed%500, Options{})
		if err != nil || r.Failure != nil {
			b.Fatal(seed, err, r.Failure)
		}
		messages += r.Messages
		virtual += r.Virtual
	}
	report(b, began, messages, virtual)
}

// BenchmarkWholeNodeCalm runs one cluster of five with 2 % loss and no other fault, on its own: all checks, all disks.
func BenchmarkWholeNodeCalm(b *testing.B) {
	p := Draw(1)
	p.Members, p.Clients, p.Keys, p.Ops, p.Value = 5, 4, 4, 1000, 60
	p.Until, p.Heartbeat, p.Election, p.Loss, p.Duplicate, p.Late, p.Faults = 20*time.Second, 1, 10, 0.02, 0, 0, nil
	p.Snapshot, p.AppendBytes, p.Inflight, p.InflightBytes, p.Uncommitted = 1000, 1<<20, 256, 16<<20, 64<<20
	p.LatencyMin, p.LatencyMax, p.Think, p.SyncMin, p.SyncMax = time.Millisecond, 5*time.Millisecond, 20*time.Millisecond, 100*time.Microsecond, time.Millisecond
	began := cpu()
	var messages uint64
	var virtual time.Duration
	for b.Loop() {
		p.Seed++
		r, err := Run(p.Seed, Options{Plan: &p})
		if err != nil || r.Failure != nil {
			b.Fatal(p.Seed, err, r.Failure)
		}
		messages += r.Messages
		virtual += r.Virtual
	}
	report(b, began, messages, virtual)
}

// coreWorld is the core and nothing else: five members whose disk takes no time, 2 % loss, a tick of 10 ms.
type coreWorld struct {
	now     time.Duration
	made    uint64
	queue   heap
	flying  slab[raft.Message]
	members []*raft.Raft
	chance  *rand.Rand
	sent    uint64
}

func (w *coreWorld) schedule(after time.Duration, kind eventKind, who, arg int32) {
	w.made++
	w.queue.push(event{at: w.now + after, seq: w.made, kind: kind, who: who, arg: arg})
}

func (w *coreWorld) send(messages []raft.Message) {
	for i := range messages {
		w.sent++
		if w.chance.IntN(50) == 0 {
			continue
		}
		w.schedule(time.Millisecond+time.Duration(w.chance.Int64N(int64(4*time.Millisecond))), evArrive, int32(messages[i].To-1), w.flying.put(messages[i]))
	}
}

// pump does what Ready asks.
func (w *coreWorld) pump(r *raft.Raft) {
	for r.HasReady() {
		ready := r.Ready()
		w.send(ready.Messages)
		if n := len(ready.Committed); n > 0 {
			_ = r.Step(raft.Applied{Index: ready.Committed[n-1].Index})
			if at := ready.Committed[n-1].Index; at%1000 == 0 {
				if s, ok := r.SnapshotAt(at); ok {
					_ = r.Step(raft.SnapshotTaken{Snapshot: s})
				}
			}
		}
		if ready.Save != nil {
			_ = r.Step(ready.Save.Done)
			w.send(ready.Save.Then)
		}
	}
}

// BenchmarkBareCore is the measure that etcd-raft's core was given: 0.8 to 1.2 million messages a second.
func BenchmarkBareCore(b *testing.B) {
	w := &coreWorld{chance: rand.New(rand.NewPCG(1, 1))}
	var c raft.Configuration
	for i := range 5 {
		c.Members = append(c.Members, raft.Member{ID: raft.ID(i + 1), Address: "a"})
	}
	data, err := c.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 5 {
		r, err := raft.New(raft.Config{ID: raft.ID(i + 1), Cluster: 7, Seed: uint64(i)},
			raft.Stored{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{{Term: 1, Index: 1, Type: raft.EntryConfiguration, Data: data}}})
		if err != nil {
			b.Fatal(err)
		}
		w.members = append(w.members, r)
		w.schedule(time.Duration(i)*time.Millisecond, evTick, int32(i), 0)
	}
	began := cpu()
	command := []byte("sixteen bytes...")
	for b.Loop() {
		for end := w.now + 100*time.Millisecond; w.now < end; {
			e := w.queue.pop()
			w.now = e.at
			r := w.members[e.who]
			if e.kind == evTick {
				_ = r.Step(raft.Tick{})
				if r.Role() == raft.Leader {
					_ = r.Step(raft.Propose{Commands: [][]byte{command}})
				}
				w.schedule(10*time.Millisecond, evTick, e.who, 0)
			} else {
				m := w.flying.take(e.arg)
				_ = r.Step(&m)
			}
			w.pump(r)
		}
	}
	if w.members[0].Committed() < 2 {
		b.Fatal("nothing was committed")
	}
	report(b, began, w.sent, w.now)
}
