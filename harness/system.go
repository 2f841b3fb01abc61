package harness

import "context"

// Place is where one member will run. The cluster fills it in; the System reads it.
type Place struct {
	Name string // n1, n2, ...
	// Address is host:port at which the other members reach this one.
	Address string
	// Listen is host:port on which this member must listen.
	Listen string
	// Data is the directory that outlives a kill.
	Data string
	// PeerProxy is host:port of an HTTP CONNECT proxy through which the member must dial its peers, or
	// empty where the network itself can be cut (containers).
	PeerProxy string
	// Join are the addresses of members of a cluster that runs already and that this one is to join, whoever was first in
	// it. It is empty for those that the cluster is started with.
	Join []string
}

// Spec says how to start one member. Image is used in containers, Binary as a process.
type Spec struct {
	Image  string
	Binary string
	Args   []string
	Env    []string // KEY=value
}

// System describes a store under test. Every method must be safe for concurrent use.
type System interface {
	Name() string
	// Spec says how to start the member at self; all[0] is started first. It is asked again, with self last in all, for
	// a newcomer (Place.Join).
	Spec(self Place, all []Place) Spec
	// Ready returns nil when the member at the endpoint (host:port, as the lab reaches it) can serve.
	Ready(ctx context.Context, endpoint string) error
	// Dial makes a client that talks to one member. endpoint is called before each attempt: a member that
	// was restarted may have moved.
	Dial(node string, endpoint func(context.Context) (string, error)) (Client, error)
}

// Inspector is a System whose members say what they know of themselves. Without it the lab cannot aim at
// the leader, nor compare members after the faults, and says so.
type Inspector interface {
	Inspect(ctx context.Context, endpoint string) (Status, error)
}

// Snapshotter is a System whose members take a snapshot when they are asked to. Without it none can be killed while it does.
type Snapshotter interface {
	// Snapshot returns when the member has taken one, or has nothing to take one of.
	Snapshot(ctx context.Context, endpoint string) error
}

// Versioner is a System whose members say what they were built from. Without it a report does not.
type Versioner interface {
	Version(ctx context.Context, endpoint string) (string, error)
}

// Status is what one member says of itself.
type Status struct {
	ID      string   `json:"id,omitempty"`
	Role    string   `json:"role"`             // "leader", "follower", ...
	Leader  string   `json:"leader,omitempty"` // Place.Address of the leader that it follows, empty if none
	Term    uint64   `json:"term"`
	Commit  uint64   `json:"commit"`
	Applied uint64   `json:"applied"`
	Hash    string   `json:"hash,omitempty"` // of the state at Applied; equal on members with equal Applied
	Voters  []string `json:"voters,omitempty"`
}
