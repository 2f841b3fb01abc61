// Package harness runs any replicated store and records what its clients saw. It is a library: errors
// are returned, nothing is printed, and no test is needed around it.
//
// A System says what to run, a Cluster (packages process and docker) runs it and can hurt it, a Client
// makes one attempt on the wire, a Workload decides what to ask, a Load asks it from many clients at once and
// records every operation before it is sent, and a Monitor watches what the members say of themselves.
// What the recorded history means is decided in package linearizability, and what to break in package chaos.
package harness
