package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raftlab/chaos"
	layer "raftlab/chaos/agent/disk"
	"raftlab/chaos/mutants"
)

// lab is the built program, and raftd lies beside it.
var lab string

func TestMain(m *testing.M) {
	if layer.Meant(os.Args) { // this program as the agent that puts a disk under a member
		os.Exit(layer.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "raftlab-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	root, err := mutants.ModuleRoot(".")
	if err != nil {
		return 1, err
	}
	lab = filepath.Join(dir, "raftlab")
	for path, pkg := range map[string]string{lab: "./chaos/cmd/raftlab", filepath.Join(dir, "raftd"): raftdPackage} {
		cmd := exec.Command("go", "build", "-o", path, pkg)
		cmd.Dir = root
		if said, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("go build %s: %w: %s", pkg, err, said)
		}
	}
	return m.Run(), nil
}

// invoked is what one call of the program did.
type invoked struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

func invoke(t *testing.T, env []string, args ...string) invoked {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), lab, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return invoked{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
}

func TestBadInputIsOneClearSentenceAndTheRightExitCode(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.txt")
	if err := os.WriteFile(bad, []byte("seed 1\nat 1s crsh leader for 2s\nend 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n9 := filepath.Join(t.TempDir(), "n9.txt")
	if err := os.WriteFile(n9, []byte("seed 1\nat 1s crash n9 for 2s\nend 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	noDocker := []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}
	for _, c := range []struct {
		args string
		env  []string
		code int
		want string
	}{
		{"", nil, chaos.ExitUsage, "say what to do: bugs, check, clean, completion, doctor, export, fault, list, replay, report, run, serve, shrink, sim, version"},
		{"rnu", nil, chaos.ExitUsage, `command "rnu" is not known; did you mean run?`},
		{"shrnk runs/latest", nil, chaos.ExitUsage, "did you mean shrink?"},
		{"frobnicate", nil, chaos.ExitUsage, `command "frobnicate" is not known; use bugs, check, clean, `},
		{"--frobnicate", nil, chaos.ExitUsage, "unknown flag: --frobnicate"},
		{"run --frobnicate", nil, chaos.ExitUsage, "unknown flag: --frobnicate"},
		{"run defualt", nil, chaos.ExitUsage, `scenario "defualt" is not known; did you mean default?`},
		{"run default kill-leadr", nil, chaos.ExitUsage, `"kill-leadr" is not known; did you mean kill-leader?`},
		{"run earthquake", nil, chaos.ExitUsage, "`raftlab list` prints them"},
		{"run --for 20s", nil, chaos.ExitUsage, "--for is for --faults"},
		{"run default --for 20s --dry-run", nil, chaos.ExitUsage, "--for is for --faults"},
		{"run default kill-leader --schedule x", nil, chaos.ExitUsage, "not both"},
		{"run --system raftkv,etdc", nil, chaos.ExitUsage, `--system "etdc" is not known; did you mean etcd?`},
		{"run --system raftkv,etcd --binary /bin/true", nil, chaos.ExitUsage, "are for one system, not for raftkv,etcd"},
		{"run --seed x", nil, chaos.ExitUsage, `--seed "x" is not a whole number`},
		{"run --seed -1", nil, chaos.ExitUsage, `--seed "-1" is not a whole number`},
		{"run --seed 99999999999999999999", nil, chaos.ExitUsage, "is not a whole number from 0 to 2^63-1"},
		{"run --nodes 2", nil, chaos.ExitUsage, "--nodes 2 must be from 3 to 9"},
		{"run --nodes many", nil, chaos.ExitUsage, `--nodes "many" is not a whole number`},
		{"run --clients 0", nil, chaos.ExitUsage, "--clients 0 must be from 1"},
		{"run --keys 0", nil, chaos.ExitUsage, "--keys 0 must be from 1"},
		{"run --rate 0", nil, chaos.ExitUsage, "--rate 0 must be above 0"},
		{"run --rate NaN", nil, chaos.ExitUsage, "--rate NaN must be above 0"},
		{"run --backend podman", nil, chaos.ExitUsage, "none of auto, docker, process"},
		{"run --mutant locl-read", nil, chaos.ExitUsage, `raftlab: mutants: mutant "locl-read" is not known; did you mean local-read?`},
		{"run --mutant local-read --binary /bin/true --backend process", nil, chaos.ExitUsage, "not both"},
		{"run --faults crsh", nil, chaos.ExitUsage, `--faults: chaos: fault "crsh" is not known; did you mean crash?`},
		{"run --faults crash,pauze", nil, chaos.ExitUsage, `fault "pauze" is not known; did you mean pause?`},
		{"run --faults crash --for 1s", nil, chaos.ExitUsage, "--for 1s must be from 5s"},
		{"run default --faults crash", nil, chaos.ExitUsage, "not two of them"},
		{"run --faults reorder --backend process", nil, chaos.ExitEnvironment, "a relay carries streams"},
		{"run --schedule /nonexistent", nil, chaos.ExitUsage, "no such file"},
		{"run --schedule " + bad, nil, chaos.ExitUsage, `bad.txt: line 2: fault "crsh" is not known; did you mean crash?`},
		{"run --schedule " + n9 + " --nodes 5", nil, chaos.ExitUsage, "event 1 (at 1s crash n9 for 2s): target n9: there is no member n9 among n1 n2 n3 n4 n5"},
		{"run --rate fast", nil, chaos.ExitUsage, `--rate "fast" is not a number`},
		{"run --dry-run=perhaps", nil, chaos.ExitUsage, `--dry-run "perhaps" is not true or false`},
		{"run --seed=", nil, chaos.ExitUsage, "--seed is empty"},
		{"run --schedule=", nil, chaos.ExitUsage, "--schedule is empty"},
		{"run --mutant=", nil, chaos.ExitUsage, "--mutant is empty"},
		{"bugs locl-read", nil, chaos.ExitUsage, `raftlab: mutants: mutant "locl-read" is not known; did you mean local-read?`},
		{"bugs --layers xray", nil, chaos.ExitUsage, "--layers xray is none of scripts, tests, explorer, walks, simulator"},
		{"sim --seed 1 --plan x", nil, chaos.ExitUsage, "--seed S --for 60s as many as fit"},
		{"sim --seeds 1 --for 1s", nil, chaos.ExitUsage, "give one of --seeds, --for, --seed and --plan"},
		{"sim --seed 1 --seeds 1 --for 1s", nil, chaos.ExitUsage, "give one of --seeds, --for, --seed and --plan"},
		{"sim --seed 1 --for 0s", nil, chaos.ExitUsage, "--for 0s must be positive"},
		{"bugs --tries 0", nil, chaos.ExitUsage, "must be more than zero"},
		{"clean --out=", nil, chaos.ExitUsage, "--out is empty"},
		{"run --backend docker --binary /bin/true", nil, chaos.ExitUsage, "--binary is for process"},
		{"run --backend process --image x", nil, chaos.ExitUsage, "--image is for docker"},
		{"run --image x --binary /bin/true", nil, chaos.ExitUsage, "not both"},
		{"run --image x", noDocker, chaos.ExitEnvironment, "no Docker engine answered"}, // and not: on processes, without it
		{"run default --schedule " + bad, nil, chaos.ExitUsage, "not two of them"},
		{"run --backend process --binary /nonexistent", nil, chaos.ExitEnvironment, "does not exist"},
		{"run --backend process --binary /etc/passwd", nil, chaos.ExitEnvironment, "is not a program"},
		{"run --backend process --out /proc/runs", nil, chaos.ExitEnvironment, "run directory"},
		{"run --backend process --binary /bin/false", nil, chaos.ExitEnvironment, "n1 ended with code 1"},
		{"run --mutant local-read --backend process", nil, chaos.ExitEnvironment, "not inside the source of raftlab"},
		{"run --leader-within soon", nil, chaos.ExitUsage, `--leader-within "soon" is not a time such as 10s`},
		{"run --served-within -1s", nil, chaos.ExitUsage, "--served-within -1s must be above zero"},
		{"run --converge-within 0s", nil, chaos.ExitUsage, "--converge-within 0s must be above zero"},
		{"run --until-fail", nil, chaos.ExitUsage, "--until-fail wants --count"},
		{"replay nowhere", nil, chaos.ExitUsage, "nowhere is no directory of a run that was judged"},
		{"check a b", nil, chaos.ExitUsage, "check takes one run directory or history.jsonl, not 2"},
		{"check nowhere", nil, chaos.ExitUsage, "nowhere has no history: give a run directory, or a history.jsonl"},
		{"check " + bad, nil, chaos.ExitUsage, "line 1: not a JSON record"},
		{"export", nil, chaos.ExitUsage, "say in which format: --edn"},
		{"export --edn nowhere", nil, chaos.ExitUsage, "nowhere has no history"},
		{"sim --last -1 --seed 1", nil, chaos.ExitUsage, "--last -1 must not be negative"},
		{"sim --seed -1", nil, chaos.ExitUsage, `--seed: sim: "-1" is no seed, which is a whole number from 0 to 2^64-1, or a word, such as a git hash`},
		{"sim --seed -1 --seeds 3", nil, chaos.ExitUsage, `"-1" is no seed`},
		{"sim --plan " + bad, nil, chaos.ExitUsage, "sim: plan, line 2: unknown name"},
		{"sim --seeds 0", nil, chaos.ExitUsage, "--seeds 0 must be at least 1"},
		{"sim --shrink --seeds 3", nil, chaos.ExitUsage, "--trace and --shrink are for one run"},
		{"bugs --seeds many", nil, chaos.ExitUsage, `--seeds "many" is not a whole number`},
		{"completion tcsh", nil, chaos.ExitUsage, `there is no completion for "tcsh"; there is for bash, zsh, fish and powershell`},
		{"run --workload sets", nil, chaos.ExitUsage, `--workload "sets" is not known; use one of registers, lists, sessions`},
		{"run --system etdc", nil, chaos.ExitUsage, `--system "etdc" is not known; did you mean etcd?`},
		{"run --system mystore", nil, chaos.ExitUsage, `use raftkv, etcd, etcd-serializable, pyraft, or write an adapter (harness/GUIDE.md)`},
		{"run --system etcd --mutant local-read", nil, chaos.ExitUsage, "--mutant local-read is a bug of raftd, not of etcd"},
		{"run --system pyraft --backend process", nil, chaos.ExitUsage, "--system pyraft wants --image or --binary"},
		{"run --system etcd --backend process", nil, chaos.ExitEnvironment, "no etcd to run: there is none beside raftlab, and"},
		{"run --backend docker", noDocker, chaos.ExitEnvironment, "no Docker engine answered"},
		{"report", nil, chaos.ExitUsage, "report: no run in runs/latest: it has neither run.json nor history.jsonl"},
		{"run --workload sessions --system etcd", nil, chaos.ExitUsage, "--workload sessions, --system etcd: chaos: workload: a write may be sent again only with an idempotency key, which etcd does not have"},
		{"run --workload lists --system raftkv,pyraft", nil, chaos.ExitUsage, "lists are appended to by compare-and-set, which pyraft does not have"},
		{"serve --addr here", nil, chaos.ExitUsage, `--addr "here" must be host:port`},
		{"serve --addr 127.0.0.1:99999", nil, chaos.ExitUsage, `port "99999" must be from 0 to 65535`},
		{"serve --addr 192.0.2.1:0", nil, chaos.ExitEnvironment, "--addr 192.0.2.1:0: listen tcp 192.0.2.1:0: bind: cannot assign requested address; --addr 127.0.0.1:0 takes a port that is free"},
		{"serve --cluster 2", nil, chaos.ExitUsage, "--cluster 2 must be from 3 to 9"},
		{"serve --binary /bin/true", nil, chaos.ExitUsage, "--binary is for the members of --cluster"},
		{"serve --addr 127.0.0.1:0 --cluster 3 --binary /no/such", nil, chaos.ExitEnvironment, "no raftd at /no/such: make build, or give --binary"},
		{"report a b", nil, chaos.ExitUsage, "one run directory, not 2"},
		{"fault explode n1", nil, chaos.ExitUsage, `fault "explode" is not known; use partition, kill, pause, heal or status`},
		{"fault kill", nil, chaos.ExitUsage, "fault kill takes one group of members such as n1,n2, not 0"},
		{"fault kill leadr", nil, chaos.ExitUsage, `target "leadr" is not known; did you mean leader?`},
		{"fault partition n1 n2 n3", nil, chaos.ExitUsage, "takes one or two groups of members such as n1,n2, not 3"},
		{"fault heal", noDocker, chaos.ExitEnvironment, "no Docker engine answered"},
		{"list scenarios", nil, chaos.ExitUsage, `list takes no words, and got "scenarios"`},
		{"doctor --jsno", nil, chaos.ExitUsage, "unknown flag: --jsno; raftlab doctor --help lists what there is"},
		{"clean everything", nil, chaos.ExitUsage, `clean takes no words, and got "everything"`},
		{"replay", nil, chaos.ExitUsage, "replay takes one run directory, such as runs/latest, not 0"},
		{"shrink", nil, chaos.ExitUsage, "shrink takes one run directory, such as runs/latest, not 0"},
		{"fault", nil, chaos.ExitUsage, "fault: say which: partition, kill, pause, heal or status"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := invoke(t, c.env, strings.Fields(c.args)...)
			if got.code != c.code || !strings.Contains(got.stderr, c.want) {
				t.Errorf("exit %d, stderr %q; want exit %d with %q", got.code, got.stderr, c.code, c.want)
			}
			if strings.Count(got.stderr, "chaos: ") > 1 || strings.Contains(got.stderr, "strconv") {
				t.Errorf("stderr is not plain: %q", got.stderr)
			}
			if strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr+got.stdout, "goroutine ") {
				t.Errorf("stderr is not one line: %q", got.stderr)
			}
		})
	}
}

func TestWithoutDockerItIsSaidInUnderASecond(t *testing.T) {
	got := invoke(t, []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"}, "run", "--backend", "docker")
	if got.code != chaos.ExitEnvironment || got.took > time.Second {
		t.Errorf("exit %d after %v: %s", got.code, got.took, got.stderr)
	}
}

func TestADryRunPrintsAScheduleThatParses(t *testing.T) {
	first := invoke(t, nil, "run", "--seed", "7", "--dry-run")
	if first.code != 0 {
		t.Fatal(first)
	}
	s, err := chaos.ParseSchedule(strings.NewReader(first.stdout))
	if err != nil || s.Seed != 7 || len(s.Events) != 3 {
		t.Errorf("%v, %v", s, err)
	}
	if again := invoke(t, nil, "run", "default", "--seed", "7", "--dry-run"); again.stdout != first.stdout {
		t.Errorf("the same seed prints\n%s\nand\n%s", first.stdout, again.stdout)
	}
}

// What a dry run prints on its first line must be a command that a shell can run.
func TestADryRunNamesTheCommandThatRunsTheSchedule(t *testing.T) {
	schedule := filepath.Join(t.TempDir(), "my schedule.txt")
	if err := os.WriteFile(schedule, []byte("seed 4\nat 1s crash n1 for 2s\nend 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := invoke(t, nil, "run", "--schedule", schedule, "--dry-run", "--out", "some where", "--binary", "/bin/raftd", "--rate", "50")
	command, ok := strings.CutPrefix(strings.SplitN(first.stdout, "\n", 2)[0], "# ")
	begins, ends := lab+" run --schedule '"+schedule+"' --seed 4 --nodes 5 ", " --backend process --binary /bin/raftd --out 'some where'"
	if !ok || !strings.HasPrefix(command, begins) || !strings.HasSuffix(command, ends) || !strings.Contains(command, " --rate 50 ") {
		t.Fatalf("got  %s\nwant %s ... %s\n%s", command, begins, ends, first.stderr)
	}
	again, err := exec.CommandContext(t.Context(), "sh", "-c", command+" --dry-run").Output()
	if err != nil || string(again) != first.stdout {
		t.Errorf("%v: %s", err, again)
	}
}

func TestTheProgramIsNamedAsItWasCalled(t *testing.T) {
	for called, want := range map[string]string{
		"bin/raftlab": "bin/raftlab", "raftlab": "raftlab",
		"/var/cache/go-build123/b001/exe/raftlab": "go run raftlab/chaos/cmd/raftlab",
	} {
		if got := strings.Join(program(called), " "); got != want {
			t.Errorf("%s: %s, want %s", called, got, want)
		}
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	flag, word := invoke(t, nil, "--version"), invoke(t, nil, "version")
	if flag.code != 0 || flag.stdout != word.stdout || !strings.HasPrefix(flag.stdout, "raftlab ") {
		t.Errorf("--version: %d %q%s, version: %q", flag.code, flag.stdout, flag.stderr, word.stdout)
	}
}

func TestListNamesScenariosAndMutants(t *testing.T) {
	got := invoke(t, nil, "list")
	for _, want := range []string{"default", "partition-leader", "kill-leader", "pause-follower", "local-read", "LIN"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("exit %d, no %s in:\n%s", got.code, want, got.stdout)
		}
	}
}
