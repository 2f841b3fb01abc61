package endurance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build compiles raftd as `make build` does.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "raftd")
	cmd := exec.Command("go", "build", "-o", binary, "raftlab/node/cmd/raftd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build raftd: %w: %s", err, out)
	}
	return binary, nil
}
