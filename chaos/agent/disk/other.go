//go:build !linux

package disk

import (
	"fmt"
	"io"
)

// Main says that disks can be broken on Linux only.
func Main(_ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "disk: a disk can be put under a member on Linux only")
	return 3
}
