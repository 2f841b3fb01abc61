package chaos

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// bystander is a cluster of one that nothing is done to.
type bystander struct{ closing }

func (bystander) World() string                                { return "process" }
func (bystander) Log(context.Context, string, io.Writer) error { return nil }

type mute struct{ harness.System }

func (mute) Dial(string, func(context.Context) (string, error)) (harness.Client, error) {
	return mute{}, nil
}
func (mute) Close() error { return nil }
func (mute) Do(context.Context, linearizability.Operation) linearizability.Result {
	return linearizability.Result{Outcome: linearizability.Unknown}
}

// full is a recorder on a disk without room.
type full struct {
	harness.Recorder
	asked chan struct{}
}

func (f full) Invoke(op linearizability.Operation) (linearizability.Operation, error) {
	close(f.asked)
	return op, errors.New("no space left on device")
}

func TestAViolationIsAFailureAlsoWhereTheLoadEndedWithAnError(t *testing.T) {
	for name, c := range map[string]struct {
		got  string
		want Verdict
	}{"stale read": {"old", Fail}, "honest": {"new", Unknown}} {
		t.Run(name, func(t *testing.T) {
			dir, err := harness.CreateRun(t.TempDir(), "test", 1, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			p := &progress{began: time.Now(), Experiment: Experiment{Cluster: bystander{}, Dir: dir, Clients: 1,
				Leftovers: func(context.Context) ([]string, error) { return nil, nil }}}
			if p.workload, err = harness.NewRegisters(harness.RegistersConfig{}); err != nil {
				t.Fatal(err)
			}
			if p.recorder, err = linearizability.Create(dir.Path("history.jsonl"), linearizability.Header{}); err != nil {
				t.Fatal(err)
			}
			for _, op := range []linearizability.Operation{
				{Kind: linearizability.Put, Key: "k", Value: "old"}, {Kind: linearizability.Put, Key: "k", Value: "new"},
				{Kind: linearizability.Get, Key: "k", Result: linearizability.Result{Got: &c.got}},
			} {
				result := op.Result
				result.Outcome = linearizability.OK
				if op, err = p.recorder.Invoke(op); err == nil {
					_, err = p.recorder.Return(op.ID, result)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			disk := full{asked: make(chan struct{})}
			p.load, err = harness.StartLoad(t.Context(), bystander{}, mute{}, harness.LoadConfig{Clients: 1, Workload: p.workload, Recorder: disk})
			if err != nil {
				t.Fatal(err)
			}
			<-disk.asked
			result, err := p.finish(t.Context(), nil)
			if err != nil || result.Verdict != c.want {
				t.Errorf("%s, %v: %s", result.Verdict, err, result.Reason())
			}
			told := 0
			for _, check := range result.Checks {
				if check.Name == "load" && check.Verdict == Unknown {
					told++
				}
			}
			if told != 1 {
				t.Errorf("it is said %d times that the load ended early: %+v", told, result.Checks)
			}
		})
	}
}
