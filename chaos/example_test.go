package chaos_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/harness/process"
	"raftlab/harness/systems/kvd"
)

// A store of your own, tested without the command raftlab. kvd is the store, harness/systems/kvd its adapter: a
// harness.System, a harness.Inspector and a harness.Client.
//
// All data is in kvd's first member, so only faults at the others leave it serving: with `pause n1` nobody is served, and
// the run is UNKNOWN. So it is with `partition n3`: n3 never speaks to n2, so it is not shown that it was cut off from a
// majority.
func Example() {
	verdict, err := breakMyStore(context.Background())
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(verdict)
	// Output: PASS 3 members, every fault proven
}

func breakMyStore(ctx context.Context) (string, error) {
	scratch, err := os.MkdirTemp("", "kvd-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	binary := filepath.Join(scratch, "kvd")
	if said, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "raftlab/harness/testdata/kvd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, said)
	}
	schedule, err := chaos.ParseSchedule(strings.NewReader(`seed 7
at 200ms pause n2 for 1500ms
at 2s crash n3 for 1500ms
end 4s`))
	if err != nil {
		return "", err
	}
	run, err := harness.CreateRun(filepath.Join(scratch, "runs"), "kvd", int64(schedule.Seed), time.Now())
	if err != nil {
		return "", err
	}
	store := &kvd.System{Binary: binary}
	defer store.Close()
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// The same in containers: docker.Start(starting, store, docker.Options{Nodes: 3, RunID: run.ID()}).
	cluster, err := process.Start(starting, store, process.Options{Nodes: 3, Dir: run.Path("data")})
	if err != nil {
		return "", err
	}
	experiment := chaos.Experiment{
		Scenario: "kvd", Schedule: schedule, System: store, Cluster: cluster, Dir: run,
		WarmUp:    500 * time.Millisecond,
		Leftovers: cluster.Leftovers,
		Say:       func(line string) { fmt.Fprintln(os.Stderr, line) },
	}
	result, err := experiment.Run(ctx) // it closes the cluster, whatever happens
	if err != nil {
		return "", err
	}
	if err := experiment.WriteReport(result, chaos.About{Again: "go test"}); err != nil {
		return "", err
	}
	if result.Verdict != chaos.Pass {
		return string(result.Verdict), fmt.Errorf("%s", result.Reason())
	}
	return fmt.Sprintf("%s %d members, every fault proven", result.Verdict, len(cluster.Places())), nil
}
