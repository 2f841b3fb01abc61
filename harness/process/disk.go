package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"raftlab/harness"
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

// SetDisk changes how a disk behaves.
func (c *Cluster) SetDisk(ctx context.Context, node string, d harness.Disk) error {
	_, err := c.askDisk(ctx, node, map[string]any{"set": d})
	return err
}

// CutPower ends the member, and lets its disk forget.
func (c *Cluster) CutPower(ctx context.Context, node string, cut harness.PowerCut) error {
	proc, err := c.running(node)
	if err != nil {
		return err
	}
	if _, err := c.askDisk(ctx, node, map[string]any{"cut": cut}); err != nil {
		return err
	}
	return proc.wait(ctx)
}

// DiskCounters asks the disk.
func (c *Cluster) DiskCounters(ctx context.Context, node string) (harness.DiskCounters, error) {
	if _, err := c.running(node); err != nil {
		return c.savedCounters(node)
	}
	return c.askDisk(ctx, node, struct{}{})
}

// savedCounters are those that a disk has saved when its member ended.
func (c *Cluster) savedCounters(node string) (harness.DiskCounters, error) {
	var saved harness.DiskCounters
	m, err := c.member(node)
	if err != nil {
		return saved, err
	}
	raw, err := os.ReadFile(filepath.Join(m.place.Data+".disk", "counters.json"))
	if errors.Is(err, os.ErrNotExist) {
		return saved, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &saved)
	}
	return saved, err
}

func (c *Cluster) askDisk(ctx context.Context, node string, request any) (harness.DiskCounters, error) {
	var reply struct {
		Counters harness.DiskCounters `json:"counters"`
		Error    string               `json:"error"`
	}
	if err := c.Disks(); err != nil {
		return reply.Counters, err
	}
	fail := func(err error) error { return fmt.Errorf("process: disk of %s: %w", node, err) }
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket(node))
	if err != nil {
		return reply.Counters, fail(err)
	}
	defer conn.Close()
	if until, bounded := ctx.Deadline(); bounded {
		_ = conn.SetDeadline(until)
	} else {
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return reply.Counters, fail(err)
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return reply.Counters, fail(err)
	}
	if reply.Error != "" {
		return reply.Counters, fail(errors.New(reply.Error))
	}
	return reply.Counters, nil
}
