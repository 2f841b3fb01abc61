package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"raftlab/harness"
)

// roster is what families of this file have in common: the configuration as most of its voters told it, around a change.
type roster struct {
	before, during, after harness.Configuration // a zero Index: it was not told
	places                map[string]harness.Place
	newcomers             []harness.Place
}

func (r *roster) Prepare(ctx context.Context, i *Injected) error {
	r.places = map[string]harness.Place{}
	for _, place := range i.Cluster.Places() {
		r.places[place.Name] = place
	}
	var err error
	r.before, err = agreed(ctx, i, func(harness.Configuration) bool { return true })
	return err
}

// Observe does not wait: what Apply has brought about must be there still. Where nobody can tell, for another fault has taken
// the majority meanwhile, what was told at the end of Apply counts.
func (r *roster) Observe(ctx context.Context, i *Injected) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	told, err := agreed(ctx, i, func(harness.Configuration) bool { return true })
	if told.Index > r.during.Index {
		r.during = told
	}
	return err
}

// changed says what a configuration must have become: who has a vote in it, and who is not in it any more. How many voters
// there are proves nothing: another fault may let members in, or take them out, at the same time.
type changed struct {
	came  []harness.Place
	left  []harness.Place
	stale []string // ids
}

func (c changed) fits(now harness.Configuration) bool {
	for _, place := range c.came {
		if m, found := now.At(place.Address); !found || !m.Voter {
			return false
		}
	}
	for _, place := range c.left {
		if _, found := now.At(place.Address); found {
			return false
		}
	}
	return !slices.ContainsFunc(c.stale, func(id string) bool { return has(now, id) })
}

// await is the end of an Apply and of an Undo: what it returns was told by most, who were asked until it fits.
func (c changed) await(ctx context.Context, i *Injected) (harness.Configuration, error) {
	return agreed(ctx, i, c.fits)
}

// id of a member before the change, as the configuration told it.
func (r *roster) id(node string) string {
	m, _ := r.before.At(r.places[node].Address)
	return m.ID
}

func (r *roster) ids(nodes []string) []string {
	var all []string
	for _, node := range nodes {
		all = append(all, r.id(node))
	}
	return all
}

func has(c harness.Configuration, id string) bool {
	return slices.ContainsFunc(c.Members, func(m harness.Configured) bool { return m.ID == id })
}

// agreed waits for a configuration that fits, that a majority of its voters holds, and that they say is committed. The last
// one that a majority told comes with the error.
func agreed(ctx context.Context, i *Injected, fits func(harness.Configuration) bool) (newest harness.Configuration, err error) {
	why := "nobody was asked"
	for {
		all, failed, err := harness.Configurations(ctx, i.Cluster, i.System)
		if err != nil {
			return newest, err
		}
		tellers := map[uint64]int{}
		for _, c := range all {
			if c.Committed {
				tellers[c.Index]++
			}
		}
		for _, c := range all {
			if 2*tellers[c.Index] > c.Voters() && c.Index >= newest.Index {
				newest = c
			}
		}
		if newest.Index > 0 && fits(newest) {
			return newest, nil
		}
		why = fmt.Sprintf("%d told theirs, %d did not; of most: %s", len(all), len(failed), newest)
		select {
		case <-ctx.Done():
			return newest, fmt.Errorf("the configuration is not what it should be: %s: %w", why, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// grow lets one more member in. One that was started and not let in is remembered too: Undo must find it.
func (r *roster) grow(ctx context.Context, i *Injected) error {
	place, err := harness.Grow(ctx, i.Cluster, i.System)
	if place.Name != "" {
		r.newcomers = append(r.newcomers, place)
	}
	return err
}

// withdraw takes out what grow let in, the last first, until so many are left.
func (r *roster) withdraw(ctx context.Context, i *Injected, leave int) error {
	for len(r.newcomers) > leave {
		last := len(r.newcomers) - 1
		if err := shrink(ctx, i, r.newcomers[last].Name); err != nil {
			return err
		}
		r.newcomers = r.newcomers[:last]
	}
	return nil
}

// shrink may be called again.
func shrink(ctx context.Context, i *Injected, node string) error {
	if !slices.Contains(members(i.Cluster), node) {
		return nil
	}
	return harness.Shrink(ctx, i.Cluster, i.System, node)
}

// judge wants three configurations that most members told, one after the other.
func (r *roster) judge(f *Findings) bool {
	for _, c := range []struct {
		when string
		told harness.Configuration
	}{{"before", r.before}, {"during", r.during}, {"after", r.after}} {
		f.Require(c.told.Index > 0, "no majority told its configuration %s the change", c.when)
	}
	return r.before.Index > 0 && r.during.Index > 0 && r.after.Index > 0
}

// came wants each newcomer to be a voter with an id that nobody had before.
func (r *roster) came(f *Findings, when string, c harness.Configuration, newcomers ...harness.Place) {
	for _, place := range newcomers {
		m, found := c.At(place.Address)
		f.Require(found && m.Voter, "%s is no voter in the configuration %s", place.Name, when)
		f.Require(!found || !has(r.before, m.ID), "%s has id %s, which was a member's before", place.Name, m.ID)
		if found {
			f.Say("%s came with id %s", place.Name, m.ID)
		}
	}
}

// left wants the members' old ids to be gone, and says so.
func (r *roster) left(f *Findings, when string, c harness.Configuration, nodes ...string) {
	r.absent(f, when, c, nodes...)
	for _, node := range nodes {
		f.Say("%s with id %s left", node, r.id(node))
	}
}

func (r *roster) absent(f *Findings, when string, c harness.Configuration, nodes ...string) {
	for _, node := range nodes {
		id := r.id(node)
		f.Require(id != "", "%s was no member before", node)
		f.Require(id == "" || !has(c, id), "%s, id %s, is a member still in the configuration %s", node, id, when)
	}
}

func (r *roster) moved(f *Findings) {
	f.Require(r.after.Index > r.before.Index, "the configuration is still that of index %d", r.before.Index)
	f.Say("configuration %d → %d of %s", r.before.Index, r.after.Index, Counted(r.after.Voters(), "voter"))
}
