package kv

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"raftlab/raft"
)

// What is remembered is what took effect: no refused condition, no repetition, no configuration, nothing that a snapshot had.
func TestToldRemembersWhatTookEffect(t *testing.T) {
	told := NewTold(New())
	at := raft.Index(0)
	apply := func(c Command) Result {
		at++
		data, err := c.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return told.Apply(raft.Entry{Index: at, Term: 3, Type: raft.EntryCommand, Data: data}).(Result)
	}
	at++
	told.Apply(raft.Entry{Index: at, Term: 3, Type: raft.EntryNoop})
	apply(Command{Op: Put, Key: "a", Value: []byte("1"), IdempotencyKey: "once"})
	apply(Command{Op: Put, Key: "a", Value: []byte("1"), IdempotencyKey: "once"})
	apply(Command{Op: Put, Key: "a", Value: []byte("2"), IfNoneMatch: true})
	apply(Command{Op: Delete, Key: "b"})
	apply(Command{Op: Put, Key: "a", Value: []byte("3"), IfMatch: 2})
	writes, before, last := told.Writes()
	if got := fmt.Sprintf("%v %d %d", writes, before, last); got != "[{2 3 put a [49]} {5 3 delete b []} {6 3 put a [51]}] 0 6" {
		t.Error(got)
	}

	var snapshot bytes.Buffer
	if err := told.Freeze()(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := told.Restore(strings.NewReader("not a snapshot")); err == nil {
		t.Error("restored from nothing")
	}
	if writes, _, _ := told.Writes(); len(writes) != 3 {
		t.Errorf("a restore that failed has made it forget: %v", writes)
	}
	if err := told.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	apply(Command{Op: Put, Key: "c", Value: []byte("4")})
	writes, before, last = told.Writes()
	if got := fmt.Sprintf("%v %d %d", writes, before, last); got != "[{7 3 put c [52]}] 6 7" {
		t.Error(got)
	}
}

func TestToldIsBounded(t *testing.T) {
	told := NewTold(New())
	value := bytes.Repeat([]byte("v"), 1<<20)
	for i := range raft.Index(40) {
		data, err := Command{Op: Put, Key: fmt.Sprint(i), Value: value}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		told.Apply(raft.Entry{Index: i + 1, Term: 1, Type: raft.EntryCommand, Data: data})
		writes, before, last := told.Writes()
		if len(writes) > 17 || last != i+1 || len(writes) > 0 && writes[0].Index != before+1 || int(last-before) != len(writes) {
			t.Fatalf("after entry %d it remembers %d writes behind %d up to %d", i+1, len(writes), before, last)
		}
	}
}
