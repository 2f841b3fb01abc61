package etcd

import (
	"context"
	"encoding/json"
	"fmt"

	"raftlab/linearizability"
)

// ReadLog watches all keys from the first revision on, up to the one that the member is at now. A watch is answered from
// the member's own history: nothing was compacted in the run, so that is everything that was ever written.
func (s *System) ReadLog(ctx context.Context, endpoint string) (linearizability.Log, error) {
	now, err := s.status(ctx, endpoint)
	if err != nil {
		return linearizability.Log{}, err
	}
	log := linearizability.Log{From: 1, To: uint64(now.Header.Revision)}
	if log.To <= 1 { // an empty store is at revision 1
		return log, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Every key from the smallest on; a progress report tells that there is nothing more where the last write is not seen.
	resp, err := s.send(ctx, endpoint, "/v3/watch", map[string]any{"create_request": map[string]any{
		"key": "AA==", "range_end": "AA==", "start_revision": "1"}})
	if err != nil {
		return linearizability.Log{}, err
	}
	defer resp.Body.Close()
	decoder := json.NewDecoder(resp.Body)
	for last := uint64(0); last < log.To; {
		var message watchMessage
		if err := decoder.Decode(&message); err != nil {
			return linearizability.Log{}, fmt.Errorf("etcd: watch: after revision %d of %d: %w", last, log.To, err)
		}
		if message.Error != nil {
			return linearizability.Log{}, fmt.Errorf("etcd: watch: %s", message.Error)
		}
		if message.Result.Canceled || message.Result.Compacted != 0 {
			return linearizability.Log{}, fmt.Errorf("etcd: watch: cancelled: %s (compacted at %d)", message.Result.Reason, message.Result.Compacted)
		}
		for _, e := range message.Result.Events {
			entry := linearizability.LogEntry{Index: uint64(e.Pair.Mod), Kind: linearizability.Put, Key: string(e.Pair.Key), Value: string(e.Pair.Value)}
			if e.Type == "DELETE" {
				entry.Kind, entry.Value = linearizability.Delete, ""
			}
			if last = max(last, entry.Index); entry.Index <= log.To {
				log.Entries = append(log.Entries, entry)
			}
		}
	}
	return log, nil
}

type watchMessage struct {
	Error  json.RawMessage `json:"error"`
	Result struct {
		Canceled  bool   `json:"canceled"`
		Reason    string `json:"cancel_reason"`
		Compacted number `json:"compact_revision"`
		Events    []struct {
			Type string `json:"type"` // absent: PUT
			Pair pair   `json:"kv"`
		} `json:"events"`
	} `json:"result"`
}
