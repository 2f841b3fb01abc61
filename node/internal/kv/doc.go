// Package kv is the replicated state machine: an ordered map from keys to values. Members that applied
// the same log hold the same map and the same Hash, whatever the commands were, because Apply looks at
// nothing but the entry and the map: no clock, no randomness, no member's own settings.
//
// A Store is written by one goroutine, the driver's, and read by any.
package kv
