// Package kv is the replicated state machine: an ordered map from keys to values. Members that applied
// the same log hold the same map and the same Hash, whatever the commands were, because Apply looks at
// nothing but the entry and the state: no clock, no randomness, no member's own settings.
//
// A Store is written by one goroutine, the driver's, and read by any. It can be frozen at any time (Freeze), and a
// store that is restored from that (Restore) has the same Hash at the same index and goes on equally. Besides
// the map it remembers idempotency keys, so that a retried command takes effect once (SessionsMax).
package kv
