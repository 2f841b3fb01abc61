// Package kvdtest builds the store in harness/testdata/kvd and checks with it that a world keeps its promises. Its
// adapter is harness/systems/kvd.
package kvdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"raftlab/harness/systems/kvd"
)

// Build compiles a package of this module into dir, as a static binary.
func Build(dir, pkg string) (string, error) {
	binary := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	_, self, _, _ := runtime.Caller(0)
	cmd.Dir = filepath.Dir(self)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return binary, nil
}

// Package is the import path of the store.
const Package = "raftlab/harness/testdata/kvd"

// System is the adapter that users read.
type System = kvd.System
