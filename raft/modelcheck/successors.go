package modelcheck

import "raftlab/raft"

// broken is an action after which a property does not hold.
type broken struct {
	action action
	err    error
}

// actions lists what may happen in a state, within the bounds. Not all of it will turn out to change anything.
func (w *world) actions(s *state, list []action) []action {
	list = list[:0]
	b := &w.bounds
	for i := range b.size() {
		at := uint8(i)
		add := func(k kind, arg uint32) {
			list = w.withCrashes(s, list, action{kind: k, member: at, torn: whole, arg: arg})
		}
		m := w.members.values[s.members[i]]
		if len(m.saves) > 0 {
			list = append(list, action{kind: save, member: at, torn: whole})
		}
		add(timeout, 0)
		if m.raft.Role() == raft.Leader {
			w.leaderSteps(s, add)
		}
		if n := s.spent[read]; int(n) < b.Reads {
			add(read, uint32(n))
		}
		if int(s.spent[crash]) < b.Crashes {
			for torn := range int8(units(m) + 1) {
				list = append(list, action{kind: crash, member: at, torn: torn})
			}
		}
	}
	for _, n := range w.nets.values[s.net] {
		list = w.withCrashes(s, list, action{kind: deliver, member: uint8(w.messages.values[n].To - 1), torn: whole, arg: n})
	}
	return list
}

func (w *world) leaderSteps(s *state, add func(kind, uint32)) {
	b := &w.bounds
	if int(s.spent[heartbeat]) < b.Heartbeats {
		add(heartbeat, 0)
	}
	if int(s.spent[stepDown]) < b.StepDowns {
		add(stepDown, 0)
	}
	if int(s.spent[propose]) < b.Commands {
		add(propose, 0)
	}
	if int(s.spent[change]) < b.Changes {
		for _, arg := range w.changes {
			add(change, arg)
		}
	}
	if int(s.spent[transfer]) < b.Transfers {
		for to := range b.Members {
			add(transfer, uint32(to+1))
		}
	}
}

// withCrashes adds a step, and the same with a crash in the save that it leads to, at each place.
func (w *world) withCrashes(s *state, list []action, a action) []action {
	list = append(list, a)
	if w.bounds.SlowDisk > 0 || int(s.spent[crash]) >= w.bounds.Crashes {
		return list
	}
	n := s.members[a.member]
	for a.torn = 0; ; a.torn++ {
		o := w.one(n, a)
		if !o.possible && o.broken == nil {
			return list
		}
		if list = append(list, a); o.broken != nil { // by itself, wherever the crash is: there would be no end
			return list
		}
	}
}

// units counts what a member's disk has been given and not finished.
func units(m *member) int {
	disk, total := m.disk, 0
	for _, s := range m.saves {
		var n int
		disk, n = write(disk, s, 1<<30)
		total += n
	}
	return total
}

// successors calls visit with every state that may follow s; it stops at a violation.
func (w *world) successors(s *state, memory *[]action, visit func(action, *state)) *broken {
	*memory = w.actions(s, *memory)
	for _, a := range *memory {
		next, ok, err := w.next(s, a)
		if err != nil {
			return &broken{a, err}
		}
		if ok {
			visit(a, &next)
		}
	}
	return nil
}
