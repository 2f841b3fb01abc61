package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"raftlab/chaos"
	"raftlab/harness"
)

// do breaks what the words name. What cannot be broken now is refused before anything is noted or done.
func (b *byHand) do(ctx context.Context, verb string, words []string) error {
	states, err := b.states(ctx)
	if err != nil {
		return err
	}
	groups, err := b.resolve(ctx, words, states)
	if err != nil {
		return err
	}
	if verb == "partition" && len(groups) == 1 {
		groups = append(groups, slices.DeleteFunc(harness.Names(b.cluster), func(m string) bool { return slices.Contains(groups[0], m) }))
	}
	var idle []string // of a partition: who does not run has no address, and hears nothing anyway
	if verb == "partition" {
		groups, idle = running(groups, states)
	}
	if err := possible(verb, groups, states); err != nil {
		return environment("%w", err)
	}
	kind := map[string]chaos.Kind{"partition": chaos.Partition, "kill": chaos.Crash, "pause": chaos.Pause}[verb]
	entry := chaos.Entry{Step: chaos.Intent, Wall: time.Now().UTC(), What: chaos.Fault{Kind: kind, Target: chaos.Target(strings.Join(groups[0], ","))},
		Nodes: groups[0], World: "docker"}
	if err := chaos.NoteIntent(b.path, entry); err != nil { // before anything is done
		return err
	}
	said := strings.Join(groups[0], " ")
	switch verb {
	case "kill":
		err = b.each(groups[0], func(node string) error { return b.cluster.Kill(ctx, node, syscall.SIGKILL) })
	case "pause":
		err = b.each(groups[0], func(node string) error { return b.cluster.Pause(ctx, node) })
	case "partition":
		_, err = b.cluster.Cut(ctx, between(groups[0], groups[1]))
		said += " and " + strings.Join(groups[1], " ") + " hear nothing of each other"
	}
	if err != nil {
		return err
	}
	if len(idle) > 0 {
		said += "; not cut off, for it does not run: " + strings.Join(idle, " ")
	}
	_, err = fmt.Fprintf(b.stdout, "%s: %s\n", verb, said)
	return err
}

// states is what each member's process is.
func (b *byHand) states(ctx context.Context) (map[string]harness.ProcessState, error) {
	states := make(map[string]harness.ProcessState)
	for _, node := range harness.Names(b.cluster) {
		p, err := b.cluster.Probe(ctx, node)
		if err != nil {
			return nil, err
		}
		states[node] = p.State
	}
	return states, nil
}

// resolve names whom the words mean now. Those that draw draw among who runs.
func (b *byHand) resolve(ctx context.Context, groups []string, states map[string]harness.ProcessState) (resolved [][]string, err error) {
	v := chaos.View{Members: harness.Names(b.cluster)}
	for _, node := range v.Members {
		if states[node] != harness.Running {
			v.Lost = append(v.Lost, node)
		}
	}
	if slices.ContainsFunc(groups, func(g string) bool { return strings.Contains(g, "leader") || g == "follower" }) {
		if v.Leader, _, err = harness.AwaitLeader(ctx, b.cluster, b.system); err != nil {
			return nil, err
		}
	}
	for _, group := range groups {
		nodes, err := chaos.Target(group).Resolve(v, chaos.Random(uint64(time.Now().UnixNano()), 1))
		if err != nil {
			return nil, usage("%w", err)
		}
		resolved = append(resolved, nodes)
	}
	return resolved, nil
}

// running leaves out of each group whom there is nothing to cut from.
func running(groups [][]string, states map[string]harness.ProcessState) (left [][]string, idle []string) {
	for _, group := range groups {
		var up []string
		for _, node := range group {
			if states[node] == harness.Exited {
				idle = append(idle, node)
			} else {
				up = append(up, node)
			}
		}
		left = append(left, up)
	}
	return left, idle
}

// possible says of whom the word means nothing.
func possible(verb string, groups [][]string, states map[string]harness.ProcessState) error {
	for _, group := range groups {
		if len(group) == 0 {
			return fmt.Errorf("%s: nobody on one side of it runs; docker compose start starts who does not", verb)
		}
		for _, node := range group {
			switch {
			case states[node] == harness.Exited:
				return fmt.Errorf("%s: %s does not run: raftlab fault heal starts it if it was killed by hand, else docker compose start %s", verb, node, node)
			case states[node] == harness.Paused && verb == "pause":
				return fmt.Errorf("pause: %s is paused already; raftlab fault heal lets it go on", node)
			}
		}
	}
	return nil
}

// between is both directions of every link between two groups.
func between(a, b []string) []harness.Link {
	var links []harness.Link
	for _, from := range a {
		for _, to := range b {
			if from != to {
				links = append(links, harness.Link{From: from, To: to}, harness.Link{From: to, To: from})
			}
		}
	}
	return links
}

func (b *byHand) each(nodes []string, do func(string) error) error {
	var errs []error
	for _, node := range nodes {
		if err := do(node); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
