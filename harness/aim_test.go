package harness_test

import (
	"sync"
	"testing"

	"raftlab/harness"
	"raftlab/linearizability"
)

// counted notes who was asked by whom.
type counted struct {
	*linearizability.Recorder
	mu    sync.Mutex
	asked map[int]map[string]int
}

func (c *counted) Invoke(op linearizability.Operation) (linearizability.Operation, error) {
	c.mu.Lock()
	if c.asked[op.Client] == nil {
		c.asked[op.Client] = map[string]int{}
	}
	c.asked[op.Client][op.Node]++
	c.mu.Unlock()
	return c.Recorder.Invoke(op)
}

func (c *counted) by(client int, node string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[client][node]
}

func TestAimedClientsAskWhomTheyAreToldAndOthersGoOnAsBefore(t *testing.T) {
	c, system := startKVD(t, 3)
	recorder, _ := record(t)
	defer recorder.Close()
	rec := &counted{Recorder: recorder, asked: map[int]map[string]int{}}
	var mu sync.Mutex
	target := "n3"
	aim := func() string { mu.Lock(); defer mu.Unlock(); return target }
	load, err := harness.StartLoad(t.Context(), c, system, harness.LoadConfig{
		Clients: 4, Rate: 400, Workload: registers(t), Recorder: rec, Aim: aim, Aimed: 2})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "both aimed clients at n3", func() bool { return rec.by(0, "n3") > 3 && rec.by(1, "n3") > 3 })
	mu.Lock()
	target = "n2"
	mu.Unlock()
	await(t, "both aimed clients at n2, and the fixed one where it was", func() bool {
		return rec.by(0, "n2") > 3 && rec.by(1, "n2") > 3 && rec.by(2, "n2") > 3
	})
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	if rec.by(0, "n1")+rec.by(1, "n1") > 0 || rec.by(2, "n1")+rec.by(2, "n3") > 0 {
		t.Errorf("asked: %v", rec.asked)
	}
	_, err = harness.StartLoad(t.Context(), c, system, harness.LoadConfig{Workload: registers(t), Recorder: rec, Aimed: 1})
	if err == nil {
		t.Error("clients were aimed at nobody")
	}
}
