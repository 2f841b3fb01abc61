package main

import "raftlab/harness/systems/kvd"

// The guide says: copy kvd, and add a row to the table. A copy must be what a row wants.
var _ tested = (*kvd.System)(nil)
