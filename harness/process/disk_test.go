package process

import (
	"errors"
	"strings"
	"testing"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/internal/needs"
)

func TestDisksOfProcessesKeepTheirPromises(t *testing.T) {
	if err := CheckDisks(t.Context(), []string{agent}); errors.Is(err, harness.ErrUnsupported) {
		needs.Machine(t, err)
	} else if err != nil {
		t.Fatal(err)
	}
	kvdtest.Disks(t, func(t *testing.T, nodes int) (kvdtest.DiskWorld, *kvdtest.System) {
		return startWith(t, Options{Nodes: nodes, DiskAgent: []string{agent}})
	})
}

func TestAnAgentThatIsNoneIsNoMachineThatLacksSomething(t *testing.T) {
	if err := CheckDisks(t.Context(), []string{"/bin/sh", "-c", "exit 7"}); err == nil || errors.Is(err, harness.ErrUnsupported) || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v", err)
	}
}
