package raft_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"raftlab/raft"
)

// TestRandomSchedulesKeepFigure3 throws everything at small clusters: loss, duplicates, any order, slow disks,
// crashes, membership changes and transfers. After each step raft/safety looks at all members. Then all is
// healed, and a leader must appear, commit, and bring everybody to the same log.
func TestRandomSchedulesKeepFigure3(t *testing.T) {
	first, last := uint64(0), uint64(150)
	if s := os.Getenv("RAFT_SEED"); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("RAFT_SEED=%q is not a number", s)
		}
		last = first + 1
	}
	if s := os.Getenv("RAFT_SEEDS"); s != "" { // a longer search: so many seeds from the first
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("RAFT_SEEDS=%q is not a number", s)
		}
		last = first + n
	}
	for seed := first; seed < last; seed++ {
		if err := randomSchedule(seed); err != nil {
			t.Fatalf("seed %d: %v\nrepeat: RAFT_SEED=%d go test ./raft -run RandomSchedules", seed, err, seed)
		}
	}
}

func randomSchedule(seed uint64) (err error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld()
	w.detail = false
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	voters := 1 + rng.IntN(5)
	for i := range voters {
		w.add(raft.ID(i+1), raft.HardState{Term: 1}, founded(voters))
	}
	chaos := rng.IntN(4)
	next := raft.ID(voters + 1)
	for range 1500 {
		w.randomStep(rng, chaos, &next)
	}
	return w.heal(rng)
}

func (w *world) randomStep(rng *rand.Rand, chaos int, next *raft.ID) {
	who := w.ids[rng.IntN(len(w.ids))]
	m := w.members[who]
	dice := rng.IntN(100)
	switch {
	case m.raft == nil:
		if dice < 20 {
			w.start(who)
			w.pump(who)
		}
	case len(w.pile) > 60:
		w.pile = slices.Delete(w.pile, 0, 10)
	case dice < 45 && len(w.pile) > 0:
		i := 0
		if chaos > 0 {
			i = rng.IntN(len(w.pile))
		}
		w.deliver(i, chaos > 1 && rng.IntN(8) == 0)
	case dice < 50 && len(w.pile) > 0 && chaos > 1:
		i := rng.IntN(len(w.pile))
		w.pile = slices.Delete(w.pile, i, i+1)
	case dice < 70:
		_ = w.step(who, raft.Tick{})
	case dice < 80:
		_ = w.step(who, raft.Propose{Commands: [][]byte{fmt.Appendf(nil, "c%d", rng.IntN(1000))}})
	case dice < 84:
		m.hold = !m.hold
		w.release(who, rng.IntN(len(m.saves)+1))
		w.pump(who)
	case dice < 85:
		m.lazy = !m.lazy
		m.report()
		w.pump(who)
	case dice < 88:
		_ = w.step(who, raft.Read{Context: rng.Uint64()})
	case dice < 90 && chaos > 2:
		w.crash(who)
	case dice < 91 && len(w.ids) < 7:
		if w.step(who, raft.ChangeMembership{Change: raft.Change{Type: raft.AddLearner, Member: raft.Member{ID: *next, Address: fmt.Sprint(*next)}}}) == nil {
			w.add(*next, raft.HardState{}, nil)
			*next++
		}
	case dice < 93:
		_ = w.step(who, raft.ChangeMembership{Change: raft.Change{Type: raft.ChangeType(2 + rng.IntN(2)), Member: raft.Member{ID: w.ids[rng.IntN(len(w.ids))]}}})
	case dice < 96:
		w.snapshot(who)
	case dice < 98:
		_ = w.step(who, raft.SnapshotFailed{To: w.ids[rng.IntN(len(w.ids))]})
	case dice < 99:
		_ = w.step(who, raft.Transfer{To: w.ids[rng.IntN(len(w.ids))]})
	}
}

// heal ends all faults and demands progress: a leader that commits something new, and equal logs on its members.
func (w *world) heal(rng *rand.Rand) error {
	for _, id := range w.ids {
		if w.members[id].raft == nil {
			w.start(id)
		}
		w.members[id].hold, w.members[id].lazy = false, false
		w.members[id].report()
		w.release(id, len(w.members[id].saves))
		w.pump(id)
	}
	for range 400 {
		for _, id := range w.ids {
			_ = w.step(id, raft.Tick{})
		}
		w.settle()
		if w.converged() {
			return nil
		}
		w.reportLostSnapshots()
		for _, id := range w.ids {
			if r := w.members[id].raft; r.Role() == raft.Leader && rng.IntN(4) == 0 {
				_ = w.step(id, raft.Propose{Commands: [][]byte{[]byte("after")}})
			}
		}
	}
	for _, id := range w.ids {
		w.tell("%s", w.picture(id))
	}
	return fmt.Errorf("no progress after everything was healed:\n%v", w.story[len(w.story)-min(len(w.story), 40):])
}

// reportLostSnapshots keeps a promise of the caller's: whoever carries the state says when it did not arrive.
func (w *world) reportLostSnapshots() {
	for _, id := range w.ids {
		for _, to := range w.ids {
			if p, ok := w.members[id].raft.Progress(to); ok && p.State == "snapshot" {
				_ = w.step(id, raft.SnapshotFailed{To: to})
			}
		}
	}
}

func (w *world) converged() bool {
	for _, id := range w.ids {
		r := w.members[id].raft
		if r.Role() != raft.Leader || r.Committed() != r.LastIndex() {
			continue
		}
		if term, _ := r.TermAt(r.LastIndex()); term != r.Term() {
			continue
		}
		for _, m := range r.Configuration().Members {
			if other := w.members[m.ID].raft; other.Committed() != r.Committed() || other.Leader() != id {
				return false
			}
		}
		return true
	}
	return false
}

// TestCloneIsIndependentAndHashTellsStatesApart clones a member in the middle of random schedules: a clone that
// gets the same inputs ends in the same state, and one that gets others leaves the original as it was.
func TestCloneIsIndependentAndHashTellsStatesApart(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := newWorld()
		w.detail = false
		for i := range 3 {
			w.add(raft.ID(i+1), raft.HardState{Term: 1}, founded(3))
		}
		next := raft.ID(4)
		for range 400 {
			w.randomStep(rng, 2, &next)
		}
		for _, id := range w.ids {
			r := w.members[id].raft
			before := r.Hash()
			a, b := r.Clone(), r.Clone()
			if a.Hash() != before {
				t.Fatalf("seed %d: the clone of %v has another hash", seed, id)
			}
			for range 50 {
				_ = a.Step(raft.Tick{})
				_ = a.Step(raft.Propose{Commands: [][]byte{[]byte("x")}})
				a.Ready()
			}
			if r.Hash() != before || b.Hash() != before {
				t.Fatalf("seed %d: steps of a clone of %v changed the original", seed, id)
			}
			if a.Hash() == before {
				t.Fatalf("seed %d: 50 ticks of %v left its hash as it was", seed, id)
			}
			for range 50 {
				_ = b.Step(raft.Tick{})
				_ = b.Step(raft.Propose{Commands: [][]byte{[]byte("x")}})
				b.Ready()
			}
			if a.Hash() != b.Hash() {
				t.Fatalf("seed %d: two clones of %v differ after the same steps", seed, id)
			}
		}
	}
}

// byteSource draws from the fuzzer's bytes, so that the fuzzer can bend one decision and keep the others.
type byteSource struct {
	bytes []byte
	drawn uint64
}

func (s *byteSource) Uint64() uint64 {
	// The high byte decides what IntN returns. The rest counts, because IntN may ask again until it likes a number.
	s.drawn++
	b := uint64(0)
	if len(s.bytes) > 0 {
		b = uint64(s.bytes[0])
		s.bytes = s.bytes[1:]
	}
	return b<<56 | s.drawn*0x9e3779b97f4a7c15>>8
}

// FuzzSchedules lets the fuzzer choose every message, loss, crash, save and change, against the invariants, Figure 3
// and progress after the heal.
func FuzzSchedules(f *testing.F) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		b := make([]byte, 2000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(byte(seed), b)
	}
	f.Fuzz(func(t *testing.T, shape byte, choices []byte) {
		source := &byteSource{bytes: choices[:min(len(choices), 4000)]}
		rng := rand.New(source)
		w := newWorld()
		w.detail = false
		voters := 1 + int(shape%5)
		for i := range voters {
			w.add(raft.ID(i+1), raft.HardState{Term: 1}, founded(voters))
		}
		next := raft.ID(voters + 1)
		for len(source.bytes) > 0 {
			w.randomStep(rng, int(shape/5%4), &next)
		}
		if err := w.heal(rng); err != nil {
			t.Fatal(err)
		}
	})
}
