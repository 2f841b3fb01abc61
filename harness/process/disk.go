package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"raftlab/harness"
	"raftlab/harness/diskfault"
	"raftlab/harness/scratch"
)

var _ harness.Disker = (*Cluster)(nil)

// onDisk puts the disk that can be broken between the member and its directory. The agent mounts it in a mount namespace of
// its own, so that the mount ends with the processes that use it, however they end.
func (c *Cluster) onDisk(m *member) (harness.Spec, error) {
	agent := c.diskAgent
	back := m.place.Data + ".disk"
	if err := os.MkdirAll(back, 0o755); err != nil {
		return harness.Spec{}, err
	}
	spec := m.spec
	spec.Binary = agent[0]
	spec.Args = append(append([]string{}, agent[1:]...), "disk", "--back", back, "--mount", m.place.Data,
		"--control", c.socket(m.place.Name), "--", m.spec.Binary)
	spec.Args = append(spec.Args, m.spec.Args...)
	return spec, nil
}

// socket is in a directory with a short name: the path of a socket has at most 107 bytes.
func (c *Cluster) socket(node string) string { return filepath.Join(c.sockets.Path(), node) }

// Disks says whether the members were started on disks that can be broken.
func (c *Cluster) Disks() error {
	if len(c.diskAgent) == 0 {
		return fmt.Errorf("process: no member was started on a disk that can be broken: %w", harness.ErrUnsupported)
	}
	return nil
}

const checkTimeout = 10 * time.Second

// CheckDisks returns nil if members can be started above disks that can be broken. What this machine lacks for it is an
// error that wraps harness.ErrUnsupported. agent is Options.DiskAgent.
func CheckDisks(ctx context.Context, agent []string) error {
	fail := func(err error) error { return fmt.Errorf("process: disks cannot be broken here: %w", err) }
	if err := supported(); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	dir, err := scratch.Make() // which is found again, should this process be killed
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	check := exec.CommandContext(ctx, agent[0], append(agent[1:len(agent):len(agent)], "disk-check", dir.Path())...)
	check.SysProcAttr = &syscall.SysProcAttr{}
	inOwnMounts(check.SysProcAttr)
	said, err := check.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &ended): // no user namespaces, perhaps
		return fail(fmt.Errorf("%w: %w", harness.ErrUnsupported, err))
	case ended.ExitCode() == diskfault.ExitUnsupported:
		return fail(fmt.Errorf("%w: %s", harness.ErrUnsupported, bytes.TrimSpace(said)))
	}
	return fail(fmt.Errorf("%w: %s", err, bytes.TrimSpace(said)))
}

// SetDisk changes how a disk behaves.
func (c *Cluster) SetDisk(ctx context.Context, node string, d harness.Disk) error {
	_, err := c.askDisk(ctx, node, diskfault.Request{Set: &d})
	return err
}

// CutPower ends the members, and lets their disks forget.
func (c *Cluster) CutPower(ctx context.Context, nodes []string, cut harness.PowerCut) error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() {
			var proc *process
			if proc, errs[i] = c.running(node); errs[i] != nil {
				return
			}
			if _, errs[i] = c.askDisk(ctx, node, diskfault.Request{Cut: &cut}); errs[i] == nil {
				errs[i] = proc.wait(ctx)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// DiskCounters asks the disk.
func (c *Cluster) DiskCounters(ctx context.Context, node string) (harness.DiskCounters, error) {
	if _, err := c.running(node); err != nil {
		return c.savedCounters(node)
	}
	return c.askDisk(ctx, node, diskfault.Request{})
}

// savedCounters are those that a disk has saved when its member ended.
func (c *Cluster) savedCounters(node string) (harness.DiskCounters, error) {
	var saved harness.DiskCounters
	m, err := c.member(node)
	if err != nil {
		return saved, err
	}
	f, err := os.Open(filepath.Join(m.place.Data+".disk", diskfault.Saved))
	if errors.Is(err, os.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return saved, fmt.Errorf("process: disk of %s: %w", node, err)
	}
	defer f.Close()
	return diskfault.ReadSaved(f)
}

func (c *Cluster) askDisk(ctx context.Context, node string, q diskfault.Request) (harness.DiskCounters, error) {
	if err := c.Disks(); err != nil {
		return harness.DiskCounters{}, err
	}
	counters, err := diskfault.Ask(ctx, c.socket(node), q)
	if err != nil {
		err = fmt.Errorf("process: disk of %s: %w", node, err)
	}
	return counters, err
}
