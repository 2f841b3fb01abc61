package harness

import "testing"

// A newcomer in place of a member is asked as that was: else nobody would ask it while it is cut off.
func TestWhoseMemberWasDroppedGoesWhereFewestStay(t *testing.T) {
	h := homes{of: map[int]string{}}
	members := []string{"n1", "n2", "n3"}
	for client := range 6 { // three that stay, three that go on
		if got := h.find(client, members); got != members[client/2] {
			t.Errorf("client %d begins at %s", client, got)
		}
	}
	stay := func(members []string, want ...string) {
		t.Helper()
		for i, node := range want {
			if got := h.find(2*i, members); got != node {
				t.Errorf("of %v client %d stays at %s, not at %s", members, 2*i, got, node)
			}
		}
	}
	stay(members, "n1", "n2", "n3")
	stay([]string{"n1", "n3"}, "n1", "n1", "n3") // n2 was dropped
	stay([]string{"n1", "n3", "n4"}, "n4", "n1", "n3")
	stay([]string{"n1", "n3", "n4", "n5"}, "n4", "n1", "n3") // nobody is to spare
}
