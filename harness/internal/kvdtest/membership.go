package kvdtest

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"raftlab/harness"
)

// changeMembers checks what a world promises of its list of members. kvd itself does not care who is a member.
func changeMembers(t *testing.T, start func(t *testing.T, nodes int) (World, *System)) {
	c, system := start(t, 2)
	ctx := Deadline(t, 30*time.Second)
	added, err := c.Add(ctx)
	do(t, err)
	if names := harness.Names(c); added.Name != "n3" || len(added.Join) != 2 || !slices.Equal(names, []string{"n1", "n2", "n3"}) {
		t.Fatalf("added %+v to %v", added, names)
	}
	do(t, harness.AwaitReady(ctx, c, system))
	if code, body := Call(t, c, "n3", "PUT", "/k", "v1", answers); code != 200 {
		t.Fatalf("put through the newcomer: %d %s", code, body)
	}

	// A newcomer's links are cut as all others are, and a cut outlives the member: healing it is no error.
	cut, err := c.Cut(ctx, []harness.Link{{From: "n3", To: "n1"}, {From: "n1", To: "n3"}})
	do(t, err)
	if code, _ := Call(t, c, "n3", "GET", "/k", "", silent); code == 200 {
		t.Error("n3 answered while it was cut off from the primary")
	}
	do(t, c.Drop(ctx, "n3"))
	do(t, cut.Heal(ctx))
	if names := harness.Names(c); !slices.Equal(names, []string{"n1", "n2"}) || !slices.Equal(c.Former(), []string{"n3"}) {
		t.Errorf("members %v, former %v", names, c.Former())
	}
	if p := probe(t, c, "n3"); p.State != harness.Exited {
		t.Errorf("n3 was dropped and is %s", p.State)
	}
	var log strings.Builder
	do(t, c.Log(ctx, "n3", &log))
	if log.Len() == 0 {
		t.Error("the log of a dropped member is gone")
	}
	if again, err := c.Add(ctx); err != nil || again.Name != "n4" || again.Address == added.Address {
		t.Errorf("after n3 at %s came %s at %s: %v", added.Address, again.Name, again.Address, err)
	}

	if err := c.Wipe(ctx, "n2"); err == nil {
		t.Error("a member that runs was wiped")
	}
	before := placeOf(c, "n2")
	do(t, c.Kill(ctx, "n2", syscall.SIGKILL))
	log.Reset()
	do(t, c.Log(ctx, "n2", &log))
	written := log.Len()
	do(t, c.Wipe(ctx, "n2"))
	if p := probe(t, c, "n2"); p.State != harness.Exited {
		t.Errorf("a wiped member is %s before it was started", p.State)
	}
	do(t, c.Start(ctx, "n2"))
	do(t, harness.AwaitReady(ctx, c, system, "n2"))
	after := placeOf(c, "n2")
	if after.Name != before.Name || after.Address != before.Address || len(after.Join) != 2 || len(before.Join) != 0 {
		t.Errorf("wiped: %+v, before %+v", after, before)
	}
	log.Reset()
	if do(t, c.Log(ctx, "n2", &log)); log.Len() <= written {
		t.Errorf("%d bytes of log after the wipe, %d before", log.Len(), written)
	}
	if code, body := Call(t, c, "n2", "GET", "/k", "", answers); code != 200 || body != "v1" {
		t.Errorf("through the wiped member: %d %s", code, body)
	}
}

func placeOf(c harness.Cluster, node string) harness.Place {
	for _, place := range c.Places() {
		if place.Name == node {
			return place
		}
	}
	return harness.Place{}
}
