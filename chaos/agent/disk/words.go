package disk

import "slices"

// Meant says whether the arguments of a process, with its name, are for Main.
func Meant(args []string) bool {
	return len(args) > 1 && slices.Contains([]string{"disk", "disk-ask", "disk-check"}, args[1])
}
