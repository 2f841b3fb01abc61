// Package needs is for tests of what not every machine has: Docker, /dev/fuse, the right to mount.
package needs

import (
	"os"
	"testing"
)

// Machine skips the test where err says what the machine lacks. Where RAFTLAB_REQUIRE_DOCKER is set, as in .ci/run, nothing
// may lack, and the test fails.
func Machine(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("RAFTLAB_REQUIRE_DOCKER") != "" {
		t.Fatal("RAFTLAB_REQUIRE_DOCKER is set, and this machine lacks something: ", err)
	}
	t.Skip(err)
}
