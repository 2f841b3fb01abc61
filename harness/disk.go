package harness

import (
	"context"
	"time"
)

// Disk is how a member's disk behaves until it is told otherwise. The zero value is a disk that works.
type Disk struct {
	SyncDelay  time.Duration `json:"sync_delay_ns,omitempty"` // each fsync takes so much longer
	SyncHang   bool          `json:"sync_hang,omitempty"`     // no fsync comes back
	SyncError  string        `json:"sync_error,omitempty"`    // EIO or ENOSPC: what each fsync returns
	WriteError string        `json:"write_error,omitempty"`   // what each write returns
	Full       bool          `json:"full,omitempty"`          // no block is free
}

// PowerCut says what becomes of what was written and not synced.
type PowerCut struct {
	Keep string `json:"keep"` // none; some sectors, at least one lost and one kept where there are two; all
	Seed uint64 `json:"seed"`
	Flip int    `json:"flip,omitempty"` // bits that change at rest, in bytes that hold something
	In   string `json:"in,omitempty"`   // of files whose name ends like this; empty: of all
}

// DiskCounters are what a disk has done to its member. They come from the disk and never from the member, and only grow,
// but for those that say now.
type DiskCounters struct {
	Written   uint64 `json:"written_bytes"`
	Syncs     uint64 `json:"syncs"`
	Unsynced  uint64 `json:"unsynced_bytes_now"` // in sectors that a power cut may take
	Held      uint64 `json:"held"`               // fsyncs that were delayed or hung
	HeldNow   uint64 `json:"held_now"`
	HeldMost  int64  `json:"held_most_ns"`
	Refused   uint64 `json:"refused"` // calls answered with ENOSPC because the disk was full
	Failed    uint64 `json:"failed"`  // calls answered with an error that was asked for
	Cuts      uint64 `json:"power_cuts"`
	Lost      uint64 `json:"lost_bytes"`
	LostSec   uint64 `json:"lost_sectors"`
	KeptSec   uint64 `json:"kept_sectors"`
	LostNames uint64 `json:"lost_names"`
	Flipped   uint64 `json:"flipped_bits"`
	Flips     []Flip `json:"flips,omitempty"`
}

// Flip is one bit that has changed at rest.
type Flip struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bit    int    `json:"bit"`
}

// Disker can break a member's disk. It takes a layer between the member and its disk that must be there from the start.
type Disker interface {
	// Disks returns nil if disks can be broken, or says why not in an error that wraps ErrUnsupported.
	Disks() error
	SetDisk(ctx context.Context, node string, d Disk) error
	// CutPower ends the member as a power cut does: with SIGKILL, and then the disk forgets. It returns when the member
	// has ended; Start runs it again on what is left.
	CutPower(ctx context.Context, node string, c PowerCut) error
	// DiskCounters can be read while the member runs.
	DiskCounters(ctx context.Context, node string) (DiskCounters, error)
}
