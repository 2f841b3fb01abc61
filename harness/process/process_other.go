//go:build !linux

package process

import (
	"fmt"
	"runtime"
	"syscall"

	"raftlab/harness"
)

// supported says that this system lacks /proc, and the signal that ends every member when the lab is killed.
func supported() error {
	return fmt.Errorf("process: local processes need Linux, this is %s; use containers: %w", runtime.GOOS, harness.ErrUnsupported)
}

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (p *process) probe() (harness.Probe, error) { return harness.Probe{}, supported() }

func (p *process) state() (harness.Probe, error) { return harness.Probe{}, supported() }

func outlivers(string) []int { return nil }

func inOwnMounts(*syscall.SysProcAttr) {} // supported() has refused already
