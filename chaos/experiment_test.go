package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raftlab/chaos"
	"raftlab/chaos/agent/disk"
	"raftlab/chaos/mutants"
	"raftlab/chaos/report"
	"raftlab/harness"
	"raftlab/harness/process"
	"raftlab/harness/systems/raftkv"
	"raftlab/linearizability"
)

// raftd is the real node, and mutant the one with the bug local-read in it.
var raftd, mutant string

func TestMain(m *testing.M) {
	if disk.Meant(os.Args) { // this program as the agent that puts a disk under a member
		os.Exit(disk.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "chaos-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		return 1, err
	}
	planted, err := mutants.Find("local-read")
	if err != nil {
		return 1, err
	}
	raftd, mutant = filepath.Join(dir, "raftd"), filepath.Join(dir, "mutant")
	if err := errors.Join(mutants.GoBuild(context.Background(), root, raftd, "./node/cmd/raftd"),
		planted.Build(context.Background(), root, mutant)); err != nil {
		return 1, err
	}
	code := m.Run()
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// start runs five members of the binary as processes, ready for a schedule.
func start(t *testing.T, binary, schedule string, args ...string) chaos.Experiment {
	t.Helper()
	s, err := chaos.ParseSchedule(strings.NewReader(schedule))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := harness.CreateRun(t.TempDir(), "test", int64(s.Seed), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	system := raftkv.New(raftkv.Options{Binary: binary, Args: args})
	t.Cleanup(system.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	options := process.Options{Nodes: 5, Dir: dir.Path("data")}
	if s.BreaksDisks() {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		options.DiskAgent = []string{self}
	}
	cluster, err := process.Start(ctx, system, options)
	if err != nil {
		t.Fatal(err)
	}
	return chaos.Experiment{
		Scenario: "test", Schedule: s, System: system, Cluster: cluster, Dir: dir, WarmUp: 500 * time.Millisecond,
		Leftovers: cluster.Leftovers,
		Say:       func(line string) { t.Log(line) },
	}
}

func judged(t *testing.T, x chaos.Experiment) chaos.Result {
	t.Helper()
	result, err := x.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range append(result.Lines(), string(result.Verdict)+" "+result.Reason()) {
		t.Log(line)
	}
	return result
}

func verdictOf(t *testing.T, r chaos.Result, check string) chaos.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == check {
			return c
		}
	}
	t.Fatalf("no check %q among %v", check, r.Checks)
	return chaos.Check{}
}

func TestAnHonestClusterPassesWithEvidenceForEveryFault(t *testing.T) {
	x := start(t, raftd, `seed 1
at 100ms partition leader for 3s
at 4s crash leader for 3s
at 8s pause follower for 1.5s
end 10s`)
	result := judged(t, x)
	if result.Verdict != chaos.Pass || result.ExitCode() != 0 {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
	if len(result.Observed.Elections) < 3 || result.Dropped() == 0 {
		t.Errorf("%d elections, %d dropped: two leaders were taken away", len(result.Observed.Elections), result.Dropped())
	}
	if err := x.WriteReport(result, chaos.About{Again: "raftlab run"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"run.json", "check.json", "summary.md", "history.jsonl", "faults.jsonl", "nodes/n1/log", "nodes/n1/status.jsonl", "report.html", "junit.xml", "../latest/run.json"} {
		if info, err := os.Stat(x.Dir.Path(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What the report draws is in the directory, and is what was seen.
	r, err := report.Read(x.Dir.Dir())
	if err != nil || len(r.Missing) > 0 || r.Verdict != "PASS" || len(r.Faults) != len(result.Windows) || len(r.Gaps) == 0 || len(r.Addresses) != len(r.Members) {
		t.Errorf("%v, missing %q: %+v", err, r.Missing, r.Summary)
	}
	for i, f := range r.Faults {
		w := result.Windows[i]
		if f.Name() != w.What.String() || f.HitLeader != w.HitLeader() || f.From != w.From || f.To != w.To || f.Evidence.Says != w.Evidence.Says {
			t.Errorf("fault %+v, want %+v", f, w)
		}
	}
	samples := 0
	for _, of := range r.Samples {
		samples += len(of)
	}
	if samples != result.Observed.Samples {
		t.Errorf("%d samples are stored, %d were seen", samples, result.Observed.Samples)
	}
	if open, err := chaos.Unfinished(x.Dir.Path("faults.jsonl")); err != nil || len(open) > 0 {
		t.Errorf("intents left open: %v, %v", open, err)
	}
}

// The canary: reads answered from local memory must be found, or the PASS above is worth nothing.
func TestTheLocalReadMutantIsConvicted(t *testing.T) {
	x := start(t, mutant, "seed 1\nat 100ms partition leader for 4s\nend 5s")
	result := judged(t, x)
	c := verdictOf(t, result, "linearizable")
	if result.Verdict != chaos.Fail || result.ExitCode() != 1 || c.Verdict != chaos.Fail {
		t.Fatalf("%s: %s", result.Verdict, result.Reason())
	}
	// Where porcupine itself had given up, the message would say so.
	byPorcupine := slices.ContainsFunc(result.Linearizable.Failing(), func(k linearizability.KeyReport) bool {
		return k.Explanation != nil && k.Message == k.Explanation.Sentence
	})
	if !byPorcupine {
		t.Errorf("no key was convicted by porcupine: %v", result.Linearizable.Failing())
	}
	if drawn, err := filepath.Glob(x.Dir.Path("linear-*.html")); err != nil || len(drawn) == 0 {
		t.Errorf("no failing key was drawn: %v, %v", result.Drawings, err)
	}
}

// Two faults at once, one begun by what clients did and one while it is in force: each is proven and undone by itself, and
// what was done can be run again.
func TestFaultsThatOverlapAreProvenAndUndoneEachByItself(t *testing.T) {
	x := start(t, raftd, `seed 1
at ops 20 partition leader for 4s
when leader pause follower for 2s
at 6s delay all delay=30ms jitter=10ms for 4s
at 7s crash follower during=snapshot for 2s
at 10s client-cut follower for 1500ms
end 12s`)
	result := judged(t, x)
	if result.Verdict != chaos.Pass || len(result.Windows) != 5 {
		t.Fatalf("%s: %s", result.Verdict, result.Reason())
	}
	cut, paused := result.Windows[0], result.Windows[1]
	if paused.From < cut.From || paused.To > cut.To || cut.Nodes[0] == paused.Nodes[0] || paused.Leader == cut.Leader {
		t.Errorf("n1 was to be cut off, then another elected, and a third paused meanwhile:\n%+v\n%+v", cut, paused)
	}
	file, err := os.Open(x.Dir.Path(chaos.ExecutedFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	executed, err := chaos.ParseSchedule(file)
	if err != nil || len(executed.Events) != 5 {
		t.Fatalf("%v\n%s", err, executed)
	}
	first := executed.Events[0]
	if first.When.On != chaos.AtTime || first.When.Time == 0 || first.Fault.Target != chaos.Leader || first.For < 4*time.Second {
		t.Errorf("executed: %s", first)
	}
}

// sabotaged is a world whose cuts fail after they were asked for.
type sabotaged struct{ *process.Cluster }

func (sabotaged) Cut(context.Context, []harness.Link) (harness.Cut, error) {
	return nil, errors.New("nft: no such table")
}

// deaf is a world that cannot cut links at all.
type deaf struct{ harness.Cluster }

func TestAFaultThatCouldNotBeInjectedMakesTheRunUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(harness.Cluster) harness.Cluster
		outcome chaos.Outcome
		want    string
	}{
		"failed":      {func(c harness.Cluster) harness.Cluster { return sabotaged{c.(*process.Cluster)} }, chaos.Indeterminate, "nft: no such table"},
		"unsupported": {func(c harness.Cluster) harness.Cluster { return deaf{c} }, chaos.Skipped, "unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			x := start(t, raftd, "seed 1\nat 100ms partition leader for 1s\nend 2s")
			x.Cluster = c.spoil(x.Cluster)
			result := judged(t, x)
			proven := verdictOf(t, result, "every fault proven")
			if result.Verdict != chaos.Unknown || proven.Verdict != chaos.Unknown || !strings.Contains(proven.Reason, c.want) {
				t.Errorf("%s: %s", result.Verdict, result.Reason())
			}
			if got := result.Windows[0].Evidence.Outcome; got != c.outcome {
				t.Errorf("the outcome is %s, want %s", got, c.outcome)
			}
		})
	}
}

// How long a store takes to start after the last fault is its own affair, within the bound on what clients wait.
func TestTheLoadGoesOnUntilClientsAreServedAfterTheLastFault(t *testing.T) {
	result := judged(t, start(t, raftd, "seed 1\nat 1s crash all for 200ms\nend 1200ms"))
	if vacuous := verdictOf(t, result, "not vacuous"); result.Verdict != chaos.Pass || !strings.Contains(vacuous.Looked, "exempt because no majority was left: #1 (crash all)") {
		t.Errorf("%s: %s; %s", result.Verdict, result.Reason(), vacuous.Looked)
	}
}

// crippled is a world in which a killed member cannot be started again.
type crippled struct{ *process.Cluster }

func (crippled) Start(context.Context, string) error { return errors.New("no space left on device") }

// The store is not to blame for it.
func TestAMemberThatTheWorldCannotStartAgainMakesTheRunUnknown(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms crash follower for 1s\nend 1500ms")
	x.Cluster, x.Patience = crippled{x.Cluster.(*process.Cluster)}, time.Second
	result := judged(t, x)
	for check, want := range map[string]chaos.Verdict{
		"everything healed": chaos.Unknown, "converged": chaos.Unknown, "final reads": chaos.Unknown, "every fault proven": chaos.Unknown, "linearizable": chaos.Pass,
	} {
		if c := verdictOf(t, result, check); c.Verdict != want {
			t.Errorf("%s is %s (%s), want %s", check, c.Verdict, c.Reason, want)
		}
	}
	if result.Verdict != chaos.Unknown {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
}

// rusty is a world in which a link that was cut stays so.
type rusty struct{ *process.Cluster }

type stuckCut struct{ harness.Cut }

func (s rusty) Cut(ctx context.Context, links []harness.Link) (harness.Cut, error) {
	c, err := s.Cluster.Cut(ctx, links)
	return stuckCut{c}, err
}

func (stuckCut) Heal(context.Context) error { return errors.New("nft: the agent is gone") }

func TestAMemberThatAnotherHandRestartedMakesTheRunUnknown(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms pause leader for 1s\nend 1500ms")
	world := x.Cluster.(*process.Cluster)
	x.Say = func(line string) {
		t.Log(line)
		if strings.Contains(line, "heal  #1") {
			if err := errors.Join(world.Kill(t.Context(), "n2", syscall.SIGKILL), world.Start(t.Context(), "n2")); err != nil {
				t.Error(err)
			}
		}
	}
	result := judged(t, x)
	if c := verdictOf(t, result, "everything healed"); result.Verdict != chaos.Unknown || !strings.Contains(c.Reason, "n2 was started again at ") {
		t.Errorf("%s: %s", result.Verdict, c.Reason)
	}
}

func TestALinkThatStaysCutIsNotTheStoresFailure(t *testing.T) {
	x := start(t, raftd, "seed 1\nat 100ms partition follower for 1s\nend 1500ms")
	x.Cluster, x.Patience = rusty{x.Cluster.(*process.Cluster)}, time.Second
	result := judged(t, x)
	for _, check := range []string{"everything healed", "converged", "every fault proven"} {
		if c := verdictOf(t, result, check); c.Verdict != chaos.Unknown || !strings.Contains(c.Reason, "nft: the agent is gone") && check != "converged" {
			t.Errorf("%s is %s: %s", check, c.Verdict, c.Reason)
		}
	}
	if result.Verdict != chaos.Unknown {
		t.Errorf("%s: %s", result.Verdict, result.Reason())
	}
}

func TestAMemberThatEndsWithoutAFaultIsTheStoresFailureUnlessAnotherHandDidIt(t *testing.T) {
	for signal, want := range map[syscall.Signal]struct {
		verdict chaos.Verdict
		reason  string
	}{
		syscall.SIGQUIT: {chaos.Fail, "ended by itself, with exit code 2"}, // Go's runtime takes it for a wish to see all goroutines, and ends
		syscall.SIGKILL: {chaos.Unknown, "was ended by a signal (killed)"},
		syscall.SIGSTOP: {chaos.Unknown, "is paused although every fault was undone"},
	} {
		t.Run(signal.String(), func(t *testing.T) {
			x := start(t, raftd, "seed 1\nat 100ms pause leader for 1s\nend 1500ms")
			x.Patience = time.Second
			x.Say = func(line string) {
				t.Log(line)
				if !strings.Contains(line, "heal  #1") {
					return
				}
				found, err := x.Cluster.Probe(t.Context(), "n2")
				if err == nil {
					err = syscall.Kill(found.PID, signal)
				}
				if err != nil {
					t.Error(err)
				}
			}
			result := judged(t, x)
			for _, check := range []string{"everything healed", "converged", "final reads"} {
				if c := verdictOf(t, result, check); c.Verdict != want.verdict {
					t.Errorf("%s is %s: %s", check, c.Verdict, c.Reason)
				}
			}
			if c := verdictOf(t, result, "everything healed"); result.Verdict != want.verdict || !strings.Contains(c.Reason, "n2 "+want.reason) {
				t.Errorf("%s: %s", result.Verdict, c.Reason)
			}
		})
	}
}
