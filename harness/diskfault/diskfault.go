// Package diskfault is what can be asked of a disk that is made to be broken (chaos/agent/disk), and what such a disk counts.
// The lab and the agent share it, in every world.
package diskfault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Faults is how a disk behaves until it is told otherwise. The zero value is a disk that works.
type Faults struct {
	SyncDelay  time.Duration `json:"sync_delay_ns,omitempty"` // each fsync takes so much longer
	SyncHang   bool          `json:"sync_hang,omitempty"`     // no fsync comes back before this ends
	SyncError  string        `json:"sync_error,omitempty"`    // EIO or ENOSPC: what each fsync returns, and nothing is durable
	WriteError string        `json:"write_error,omitempty"`   // what each write returns, with nothing written
	// Full is a disk with no free block: a write may only change blocks of 4 KiB that hold something, or write zeros. So
	// it is with thin provisioning and where a file system compresses; room that was reserved with zeros is none. What
	// is freed meanwhile somebody else takes.
	Full bool `json:"full,omitempty"`
	// Filled is a disk that is full to the last byte, so that the kernel itself answers ENOSPC where room is needed: what was
	// reserved stays usable, and what is freed is free. It is only done to a tmpfs, which the lab has made for it.
	Filled bool `json:"filled,omitempty"`
}

// PowerCut says how the power goes, and what becomes of what was not synced.
type PowerCut struct {
	// WriteBack makes durable what was written until now, as a kernel does some seconds after it was written, whether it was
	// synced or not. What comes after it, during Hold, is what the cut takes.
	WriteBack bool `json:"write_back,omitempty"`
	// Gather is how long, before all that, each fsync takes half of Gather longer: a program that writes what came meanwhile
	// at once has more than one sector on its way when the power goes, so that there is something to tear.
	Gather time.Duration `json:"gather_ns,omitempty"`
	// Hold is how long the program runs on before the power goes, while no fsync of anything that is not durable comes back.
	Hold time.Duration `json:"hold_ns,omitempty"`
	// Keep is none; some, any mixture of sectors and the first names, with at least one sector lost and one kept where
	// there are two; or all, as after the end of a process.
	Keep string `json:"keep"`
	Seed uint64 `json:"seed"`
	// Flip so many bits at rest, in bytes that are not zero, of files whose name ends with In.
	Flip int    `json:"flip,omitempty"`
	In   string `json:"in,omitempty"` // empty: of all files
}

// Counters are what a disk has done to its program. They come from the disk and never from the program, and only grow, but
// for those that say now. They outlive power cuts and orderly ends of the program.
type Counters struct {
	Written     uint64 `json:"written_bytes"`
	WrittenBack uint64 `json:"written_back_sectors"` // made durable by a power cut that began with it
	Syncs       uint64 `json:"syncs"`                // that succeeded, of files and directories
	Unsynced    uint64 `json:"unsynced_bytes_now"`   // in sectors that a power cut may take
	Held        uint64 `json:"held"`                 // fsyncs that were delayed or hung
	HeldNow     uint64 `json:"held_now"`
	HeldMost    int64  `json:"held_most_ns"`   // the longest; of those that are held now too
	Refused     uint64 `json:"refused"`        // calls answered with ENOSPC because the disk was full
	Room        uint64 `json:"room_bytes_now"` // that the file system below has left
	Failed      uint64 `json:"failed"`         // calls answered with an error that was asked for
	Cuts        uint64 `json:"power_cuts"`
	Lost        uint64 `json:"lost_bytes"` // written, never synced, and taken back by a power cut
	LostSec     uint64 `json:"lost_sectors"`
	KeptSec     uint64 `json:"kept_sectors"` // of unsynced ones, by a power cut that kept some
	LostNames   uint64 `json:"lost_names"`   // creations, renames and removals that were taken back
	Flipped     uint64 `json:"flipped_bits"`
	Flips       []Flip `json:"flips,omitempty"` // all of them
}

// Flip is one bit that has changed at rest.
type Flip struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bit    int    `json:"bit"`
}

// Files of a disk, in the directory that it keeps everything in. Its owner may read Saved when the disk is not mounted.
const (
	Socket = "control.sock"  // where it is asked, if nothing else was said
	Saved  = "counters.json" // what it had counted at the last power cut or orderly end
)

// ReadSaved reads Saved.
func ReadSaved(r io.Reader) (Counters, error) {
	var c Counters
	if err := json.NewDecoder(r).Decode(&c); err != nil {
		return c, fmt.Errorf("diskfault: %s: %w", Saved, err)
	}
	return c, nil
}

// Request is one line to the control socket: exactly one of these, or none, which reads the counters.
type Request struct {
	Set *Faults   `json:"set,omitempty"`
	Cut *PowerCut `json:"cut,omitempty"`
}

// Reply is the line that comes back.
type Reply struct {
	Counters Counters `json:"counters"`
	Error    string   `json:"error,omitempty"`
}

// ExitUnsupported is the agent's exit code where no disk can be mounted.
const ExitUnsupported = 3

// askTimeout is for who sets no deadline.
const askTimeout = 30 * time.Second

// Ask sends one request to a control socket, and returns what the disk has counted by then. A disk that refuses is an error.
func Ask(ctx context.Context, socket string, q Request) (Counters, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	fail := func(err error) (Counters, error) { return Counters{}, fmt.Errorf("diskfault: ask: %w", err) }
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	until, _ := ctx.Deadline()
	_ = conn.SetDeadline(until)
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return fail(err)
	}
	var reply Reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return fail(err)
	}
	if reply.Error != "" {
		return fail(errors.New(reply.Error))
	}
	return reply.Counters, nil
}
