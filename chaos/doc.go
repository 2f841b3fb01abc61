// Package chaos breaks a running cluster on purpose and decides, with evidence, whether the store kept its
// promise. It says PASS only if every fault demonstrably bit, clients were served meanwhile, every member
// agrees at the end, and no checker found a violation; what it cannot show it calls UNKNOWN.
//
// A Schedule, drawn from a seed, is a list of Faults, each with a Target word and a Trigger. An Experiment runs it against a
// harness.Cluster under load: warm up, faults, heal everything, await convergence, read every key on every
// member, check. Each fault Family registers itself in its own file: partition.go, crash.go, pause.go.
package chaos
