package chaos

import (
	"os/exec"
	"strings"
	"testing"
)

// Who imports these to test a store of their own must not carry a Docker client, nor etcd, nor our node.
func TestTheLibraryCarriesNoDockerNorNode(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"raftlab/chaos", "raftlab/harness", "raftlab/harness/process", "raftlab/harness/systems/etcd", "raftlab/linearizability"} {
		said, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		deps := strings.Fields(string(said))
		if len(deps) < 50 {
			t.Fatalf("%s imports %d packages only: %v", pkg, len(deps), deps)
		}
		for _, dep := range deps {
			for _, not := range []string{"raftlab/harness/docker", "raftlab/node", "raftlab/raft", "github.com/moby", "github.com/docker", "github.com/testcontainers", "go.etcd.io", "google.golang.org/grpc"} {
				if dep == not || strings.HasPrefix(dep, not+"/") {
					t.Errorf("%s carries %s", pkg, dep)
				}
			}
		}
	}
}
