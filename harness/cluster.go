package harness

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"
)

// ErrUnsupported is returned by what this world or this machine cannot do. It is reported, never skipped.
var ErrUnsupported = errors.New("harness: unsupported")

// Cluster is a set of running members. What else it can do to them it says by the capabilities below.
// Methods are safe for concurrent use.
type Cluster interface {
	// World is "docker" or "process".
	World() string
	Places() []Place
	// Endpoint is host:port at which the lab reaches the member now; it may change when a member restarts.
	Endpoint(ctx context.Context, node string) (string, error)
	// Start runs a member that was killed, on the data that it left.
	Start(ctx context.Context, node string) error
	// Probe reads the state of the member's process from the kernel or the engine, not from the member.
	Probe(ctx context.Context, node string) (Probe, error)
	// Log copies everything that the member has written to stdout and stderr since it was first started.
	Log(ctx context.Context, node string, w io.Writer) error
	// Close stops and removes everything that was started, rules and networks included.
	Close(ctx context.Context) error
}

// Probe is what the kernel or the engine says of a member's process.
type Probe struct {
	State   ProcessState
	PID     int       // zero where there is no process
	Started time.Time // of this process, zero where there is none
	Exit    int       // exit code, or 128 + the signal, where State is Exited
	// Ran is how often the kernel has given a CPU to one of its threads: a process that is stopped has none. Zero where this
	// world cannot tell.
	Ran uint64
}

// ProcessState is one of Running, Paused and Exited.
type ProcessState string

const (
	Running ProcessState = "running"
	Paused  ProcessState = "paused"
	Exited  ProcessState = "exited"
)

// Killer can end a member's process.
type Killer interface {
	Kill(ctx context.Context, node string, signal syscall.Signal) error
}

// Pauser can stop a member's process without ending it.
type Pauser interface {
	Pause(ctx context.Context, node string) error
	Resume(ctx context.Context, node string) error
}

// Link is one direction between two members.
type Link struct{ From, To string }

// Networker can cut links between members. Links between clients and members are not touched.
type Networker interface {
	// Cut drops everything on these links until the Cut that it returns is healed. Cuts may overlap: a link that is in
	// two of them is open again when both are healed. Where an error comes back with a Cut, a part of it is in
	// force, and must be healed.
	Cut(ctx context.Context, links []Link) (Cut, error)
	// Restore heals every cut and leaves no rule behind.
	Restore(ctx context.Context) error
}

// Cut is what one call of Networker.Cut has put in force. Its methods are safe for concurrent use.
type Cut interface {
	// Dropped counts per link what was swallowed there since this cut began: packets in containers, chunks of bytes or
	// connections in a relay. It reads the counters of the rules that are there now, so after Heal it is
	// empty, or names what is still there.
	Dropped(ctx context.Context) (map[Link]uint64, error)
	// Heal opens the links that no other cut holds. One that is healed already stays so.
	Heal(ctx context.Context) error
}
