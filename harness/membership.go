package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Member is a Cluster whose members can change while it runs. It starts and ends processes; what the store makes of them
// is the business of a Membership.
type Member interface {
	// Add starts a process at a place that nothing has had before: its name, its address and its data are new. The
	// System's Spec is told in Place.Join whom to join.
	Add(ctx context.Context) (Place, error)
	// Drop ends the process for good, whatever state it is in, and takes it off Places. Its log can still be read.
	Drop(ctx context.Context, node string) error
	// Wipe gives a member whose process has ended an empty data directory: Start then runs a newcomer there. Name,
	// address and log stay.
	Wipe(ctx context.Context, node string) error
	// Former are the names of those that were dropped, oldest first.
	Former() []string
}

// Membership is a System whose members can be changed while it runs. Without it no fault may add or remove one, and the
// lab says so.
type Membership interface {
	// Admit returns once the newcomer, which runs already, has a vote in a configuration that is committed. endpoint is
	// of any member. It may be called again.
	Admit(ctx context.Context, endpoint string, newcomer Place) error
	// Expel returns once a configuration without the member at this address is committed. That there is none is no error.
	Expel(ctx context.Context, endpoint, address string) error
	// Configuration is what the member at endpoint itself holds.
	Configuration(ctx context.Context, endpoint string) (Configuration, error)
}

// Configuration is the list of members as one of them tells it.
type Configuration struct {
	Index     uint64       `json:"index"`     // of the log entry that made it
	Committed bool         `json:"committed"` // as far as that member knows
	Members   []Configured `json:"members"`
}

// Configured is one member of a Configuration. Its ID is that of its data: who lost them is another.
type Configured struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// At finds the member at an address.
func (c Configuration) At(address string) (Configured, bool) {
	i := slices.IndexFunc(c.Members, func(m Configured) bool { return m.Address == address })
	if i < 0 {
		return Configured{}, false
	}
	return c.Members[i], true
}

// Voters counts those that have a vote.
func (c Configuration) Voters() int {
	n := 0
	for _, m := range c.Members {
		if m.Voter {
			n++
		}
	}
	return n
}

func (c Configuration) String() string {
	var parts []string
	for _, m := range c.Members {
		part := m.ID + " at " + m.Address
		if !m.Voter {
			part += " (no vote)"
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%d: %s", c.Index, strings.Join(parts, ", "))
}

// Everybody lists the members and those that were members: whoever has left something to read.
func Everybody(c Cluster) []string {
	names := Names(c)
	if m, ok := c.(Member); ok {
		names = append(names, m.Former()...)
	}
	return names
}

// changeable returns both sides of a change of members, or an ErrUnsupported that says which one cannot.
func changeable(c Cluster, s System) (Member, Membership, error) {
	cluster, ok := c.(Member)
	if !ok {
		return nil, nil, fmt.Errorf("%w: world %s cannot change its members", ErrUnsupported, c.World())
	}
	system, ok := s.(Membership)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s cannot change its members", ErrUnsupported, s.Name())
	}
	return cluster, system, nil
}

// Grow adds a member, and returns when it has a vote and is Ready. A Place that comes with an error runs, and is perhaps a
// member.
func Grow(ctx context.Context, c Cluster, s System) (Place, error) {
	cluster, _, err := changeable(c, s)
	if err != nil {
		return Place{}, err
	}
	place, err := cluster.Add(ctx)
	if err != nil {
		return place, err
	}
	return place, Admit(ctx, c, s, place.Name)
}

// Admit asks the members, one after the other, until one has let a process in that runs, and waits until that is Ready.
func Admit(ctx context.Context, c Cluster, s System, node string) error {
	_, system, err := changeable(c, s)
	if err != nil {
		return err
	}
	place, err := placeOf(c, node)
	if err != nil {
		return err
	}
	err = askOthers(ctx, c, node, "let "+node+" in", func(ctx context.Context, endpoint string) error {
		return system.Admit(ctx, endpoint, place)
	})
	if err != nil {
		return err
	}
	return AwaitReady(ctx, c, s, node)
}

// Expel asks the members, one after the other, until one has taken node out of the configuration. Its process goes on.
func Expel(ctx context.Context, c Cluster, s System, node string) error {
	_, system, err := changeable(c, s)
	if err != nil {
		return err
	}
	place, err := placeOf(c, node)
	if err != nil {
		return err
	}
	return askOthers(ctx, c, node, "take "+node+" out", func(ctx context.Context, endpoint string) error {
		return system.Expel(ctx, endpoint, place.Address)
	})
}

// Shrink takes a member out of the configuration, and then ends its process.
func Shrink(ctx context.Context, c Cluster, s System, node string) error {
	cluster, _, err := changeable(c, s)
	if err != nil {
		return err
	}
	if err := Expel(ctx, c, s, node); err != nil {
		return err
	}
	return cluster.Drop(ctx, node)
}

// Configurations asks every member what configuration it holds; those that did not answer are in failed.
func Configurations(ctx context.Context, c Cluster, s System) (told map[string]Configuration, failed map[string]error, err error) {
	_, system, err := changeable(c, s)
	if err != nil {
		return nil, nil, err
	}
	return askAll(ctx, c, system.Configuration)
}

func placeOf(c Cluster, node string) (Place, error) {
	for _, place := range c.Places() {
		if place.Name == node {
			return place, nil
		}
	}
	return Place{}, fmt.Errorf("harness: there is no member %q", node)
}

// changeTimeout bounds one attempt at a change: a leader that is cut off never has an answer.
const changeTimeout = 3 * time.Second

// askOthers repeats a question to all but one, in turn, until it is answered without an error.
func askOthers(ctx context.Context, c Cluster, but, what string, ask func(ctx context.Context, endpoint string) error) error {
	turn := 0
	return await(ctx, what, func(ctx context.Context) (bool, string, error) {
		others := slices.DeleteFunc(Names(c), func(node string) bool { return node == but })
		if len(others) == 0 {
			return false, "", errors.New("harness: " + what + ": there is nobody else to ask")
		}
		node := others[turn%len(others)]
		turn++
		attempt, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		endpoint, err := c.Endpoint(attempt, node)
		if err == nil {
			err = ask(attempt, endpoint)
		}
		if err != nil {
			return false, fmt.Sprintf("%s says: %v", node, err), nil
		}
		return true, "", nil
	})
}
