package harness

import (
	"context"

	"raftlab/harness/diskfault"
)

// What is asked of a disk, and what it answers.
type (
	Disk         = diskfault.Faults
	PowerCut     = diskfault.PowerCut
	DiskCounters = diskfault.Counters
	Flip         = diskfault.Flip
)

// Disker can break a member's disk. It takes a layer between the member and its disk that must be there from the start.
type Disker interface {
	// Disks returns nil if disks can be broken, or says why not in an error that wraps ErrUnsupported. A cluster that does
	// not run yet says what it would be.
	Disks() error
	SetDisk(ctx context.Context, node string, d Disk) error
	// CutPower ends the members at once, as a power cut does: with SIGKILL, and then their disks forget. It returns when they
	// have ended; Start runs each again on what is left.
	CutPower(ctx context.Context, nodes []string, c PowerCut) error
	// DiskCounters can be read while the member runs, and after its power was cut or it has ended by itself.
	DiskCounters(ctx context.Context, node string) (DiskCounters, error)
}

// Filler is a Disker that may give its disks a size, so that they can be filled (Disk.Filled).
type Filler interface {
	Disker
	// DiskSize is in bytes; zero where the members were started on disks without one.
	DiskSize() int64
}
