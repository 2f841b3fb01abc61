package raft_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"raftlab/raft"
)

// TestScripts runs the stories in testdata. Each claim is one file; rewrite the expected text after a change
// with `go test ./raft -run TestScripts -rewrite`, and read the difference.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/"), ".txt"), func(t *testing.T) {
			var w *world
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd == "cluster" || d.Cmd == "logs" && w == nil {
					w = newWorld()
				}
				w.story = nil
				if err := w.command(d); err != nil {
					w.tell("refused: %v", err)
				}
				if len(w.story) == 0 {
					return "ok\n"
				}
				return strings.Join(w.story, "\n") + "\n"
			})
		})
	}
}

func id(s string) raft.ID {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "n"))
	if err != nil {
		panic(fmt.Sprintf("%q is not a member", s))
	}
	return raft.ID(n)
}

// option returns the value of key=value, or "".
func option(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return ""
}

func number(d *datadriven.TestData, key string, otherwise int) int {
	if s := option(d, key); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(err)
		}
		return n
	}
	return otherwise
}

// command understands the words of the scripts; a word names one thing that can happen to a cluster.
func (w *world) command(d *datadriven.TestData) error {
	var who raft.ID
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		if n, err := strconv.Atoi(strings.TrimPrefix(d.CmdArgs[0].Key, "n")); err == nil {
			who = raft.ID(n)
		}
	}
	switch d.Cmd {
	case "cluster": // cluster 3: so many voters, with an empty log; cluster 3 explored: see explored_test.go
		w.explored, w.appendBytes = d.HasArg("explored"), number(d, "append-bytes", 0)
		for i := range int(who) {
			w.add(raft.ID(i+1), raft.HardState{Term: 1}, founded(int(who)))
		}
		w.story = nil
	case "logs": // logs voters=3, then a line a member: n1 @4: 1 1 4     start from these logs
		return w.startFromLogs(d)
	case "blank": // blank 4: a member with an empty disk
		w.add(who, raft.HardState{}, nil)
	case "timeout": // its election time-out passes
		w.passTimeout(who)
	case "tick": // tick 1 n=3
		for range number(d, "n", 1) {
			_ = w.step(who, raft.Tick{})
		}
	case "elect": // elect 1: time-out, and all messages arrive
		w.passTimeout(who)
		w.settle()
	case "lead": // lead 1: elect, without the story
		w.passTimeout(who)
		w.settle()
		w.story = nil
	case "propose": // propose 1 x
		return w.step(who, raft.Propose{Commands: [][]byte{[]byte(d.CmdArgs[1].Key)}})
	case "read": // read 2 context=1
		return w.step(who, raft.Read{Context: uint64(number(d, "context", 1))})
	case "change": // change 1 add=4
		return w.step(who, raft.ChangeMembership{Change: changeOf(d)})
	case "transfer": // transfer 1 to=2
		return w.step(who, raft.Transfer{To: id(option(d, "to"))})
	case "deliver", "drop", "copy", "postpone": // deliver [from=1] [to=2] [type=vote] [n=1]; copy delivers and keeps
		w.move(d)
	case "settle": // deliver until nothing is left
		w.settle()
	case "cut": // cut from=1 to=2: one way
		w.cut[[2]raft.ID{id(option(d, "from")), id(option(d, "to"))}] = true
	case "isolate":
		for _, other := range w.ids {
			w.cut[[2]raft.ID{who, other}], w.cut[[2]raft.ID{other, who}] = true, true
		}
	case "heal":
		clear(w.cut)
	case "snapshot": // snapshot 1: of what it has applied
		if !w.snapshot(who) {
			return fmt.Errorf("nothing new to take a snapshot of")
		}
	case "failed": // failed 1 to=2: the state did not arrive
		return w.step(who, raft.SnapshotFailed{To: id(option(d, "to"))})
	case "disk": // disk 1 hold | disk 1 release [n=1]
		return w.disk(who, d)
	case "crash":
		w.crash(who)
	case "restart": // restart 1 torn=2: two units of what its disk has not finished are on it
		w.members[who].tear(number(d, "torn", 0))
		w.crash(who)
		w.start(who)
	case "messages":
		for _, m := range w.pile {
			w.tell("%v", m)
		}
	case "show": // every log
		for _, id := range w.ids {
			w.tell("%s", w.picture(id))
		}
	case "applied":
		for _, id := range w.ids {
			w.tell("%v: %s", id, strings.Join(w.members[id].applied, " "))
		}
	default:
		if !w.exploredWord(who, d) {
			return fmt.Errorf("unknown command %q", d.Cmd)
		}
	}
	return nil
}

func changeOf(d *datadriven.TestData) raft.Change {
	for key, what := range map[string]raft.ChangeType{"add": raft.AddLearner, "promote": raft.Promote, "remove": raft.Remove} {
		if v := option(d, key); v != "" {
			return raft.Change{Type: what, Member: raft.Member{ID: id(v), Address: v + ":8000"}}
		}
	}
	return raft.Change{}
}

func (w *world) disk(who raft.ID, d *datadriven.TestData) error {
	switch m := w.members[who]; d.CmdArgs[1].Key {
	case "hold":
		m.hold = true
	case "release":
		if n := number(d, "n", 0); n > 0 {
			w.release(who, n)
		} else {
			m.hold = false
			w.release(who, len(m.saves))
		}
		w.pump(who)
	}
	return nil
}

// startFromLogs sets up members in the middle of a story: the terms of their entries, as the paper draws them.
func (w *world) startFromLogs(d *datadriven.TestData) error {
	voters := number(d, "voters", 3)
	w.appendBytes = number(d, "append-bytes", 0)
	for line := range strings.Lines(d.Input) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " @")
		term, terms, _ := strings.Cut(rest, ":")
		current, err := strconv.Atoi(term)
		if err != nil {
			return fmt.Errorf("%q: want n1 @term: terms of the entries", line)
		}
		entries := founded(voters)
		for i, s := range strings.Fields(terms) {
			t, err := strconv.Atoi(s)
			if err != nil {
				return err
			}
			if i > 0 {
				entries = append(entries, raft.Entry{Index: raft.Index(i + 1), Term: raft.Term(t), Data: fmt.Appendf(nil, "%d.%d", t, i+1)})
			}
		}
		w.add(id(name), raft.HardState{Term: raft.Term(current)}, entries)
	}
	w.story = nil
	return nil
}

// move delivers, drops, copies, or puts at the end those messages of the pile that fit, each once, in order.
func (w *world) move(d *datadriven.TestData) {
	fits := func(m raft.Message) bool {
		from, to, kind := option(d, "from"), option(d, "to"), strings.ReplaceAll(option(d, "type"), "_", " ")
		return (from == "" || m.From == id(from)) && (to == "" || m.To == id(to)) && (kind == "" || m.Type.String() == kind)
	}
	left := number(d, "n", 1<<30)
	var chosen, others []raft.Message
	for _, m := range w.pile {
		if fits(m) && left > 0 {
			chosen = append(chosen, m)
			left--
		} else {
			others = append(others, m)
		}
	}
	if d.Cmd == "copy" {
		others = slices.Clone(w.pile)
	}
	w.pile = others
	if d.Cmd == "postpone" {
		w.pile = append(w.pile, chosen...)
		return
	}
	if d.Cmd == "drop" && d.HasArg("quiet") {
		return
	}
	if d.Cmd == "drop" {
		for _, m := range chosen {
			w.tell("lost: %v", m)
		}
		return
	}
	for _, m := range chosen {
		w.pile = append([]raft.Message{m}, w.pile...)
		w.deliver(0, false)
	}
}
