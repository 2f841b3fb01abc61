// Package linearizability records what clients saw and decides whether one atomic register per key explains it.
//
// The promise: PASS means that every key was searched to the end and has an order; FAIL means that one key
// certainly has none, and says why in a sentence; everything else is UNKNOWN. A checker that ran out of time
// or memory, that panicked, or that had nothing to look at is UNKNOWN, never PASS.
//
//	Recorder, Read     the history as JSON lines: an operation is on disk before it is sent
//	Check              a verdict per key, by porcupine, within limits of time and memory
//	Witness            a verdict over the order that the servers claim, over all keys, without a search
//	KeyReport, Draw    the sentence and the picture of a key that failed
//
// The package knows nothing of nodes, faults or clusters, and imports none of ours.
package linearizability
