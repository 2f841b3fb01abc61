package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/harness/internal/kvdtest"
)

const labDirectory = "RAFTLAB_TEST_LAB_DIRECTORY"

// The test starts itself as a lab, kills it with SIGKILL, which nobody can clean up after, and looks whether its
// members are gone, the paused one too.
func TestNothingOutlivesAKilledLab(t *testing.T) {
	if dir := os.Getenv(labDirectory); dir != "" {
		beALab(t, dir)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lab := exec.CommandContext(kvdtest.Deadline(t, 30*time.Second), self, "-test.run", "^TestNothingOutlivesAKilledLab$")
	lab.Env = append(os.Environ(), labDirectory+"="+t.TempDir())
	out, err := lab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "member "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	if len(pids) != 2 {
		t.Fatalf("the lab started %v", pids)
	}
	if err := lab.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lab.Wait()
	for _, pid := range pids {
		if !eventually(func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }) {
			t.Errorf("process %d outlives its lab", pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// zombie is a process that has ended and that its new parent has not waited for: in a container process 1 may
// be no init.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func beALab(t *testing.T, dir string) {
	c, err := Start(t.Context(), &kvdtest.System{Binary: kvd}, Options{Nodes: 2, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.Pause(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	for _, place := range c.Places() {
		p, err := c.Probe(t.Context(), place.Name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("member", p.PID)
	}
	select {} // until it is killed
}
