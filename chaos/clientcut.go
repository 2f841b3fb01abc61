package chaos

import (
	"context"
	"fmt"

	"raftlab/harness"
)

// ClientCut cuts the clients from members whose peers still hear them.
const ClientCut Kind = "client-cut"

func init() {
	Register(Family{
		Kind: ClientCut, Does: "the clients of the lab are cut off from members that their peers still hear",
		Needs: "nothing: clients go through a relay of the lab", Front: true, Silences: true, Outside: true,
		Draws: []string{"client-cut leader", "client-cut follower"},
		New:   func() Action { return &clientCut{partition: partition{}} },
	})
}

// clientCut is a partition between the clients and members: it counts and heals as one, and is judged by itself.
type clientCut struct{ partition }

func (c *clientCut) Prepare(_ context.Context, i *Injected) error {
	for _, node := range i.Nodes {
		c.links = append(c.links, harness.Link{From: harness.ClientSide, To: node}, harness.Link{From: node, To: harness.ClientSide})
	}
	return nil
}

func (c *clientCut) Apply(_ context.Context, i *Injected) (err error) {
	if i.Front == nil {
		return fmt.Errorf("clients go to the members directly: %w", harness.ErrUnsupported)
	}
	c.cut, err = i.Front.CutClients(i.Nodes)
	return err
}

// Judge wants that clients asked each member and were not let through, and that they are now.
func (c *clientCut) Judge(i *Injected, f *Findings) {
	var total uint64
	for _, node := range i.Nodes {
		asked, held := c.dropped[harness.Link{From: harness.ClientSide, To: node}]
		f.Require(held, "the clients were not cut from %s", node)
		f.Require(!held || asked > 0, "no client asked %s meanwhile", node)
		total += asked + c.dropped[harness.Link{From: node, To: harness.ClientSide}]
	}
	f.Require(len(c.left) == 0, "the clients are still cut from somebody after the heal")
	f.Dropped(total)
	f.Say("%s chunks of bytes of clients withheld", thousands(total))
}
