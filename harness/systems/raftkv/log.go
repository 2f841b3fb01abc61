package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"raftlab/harness"
	"raftlab/linearizability"
)

var _ harness.LogReader = (*System)(nil)

// writesBytesMax is above what a member remembers, which is 16 MiB of keys and values, in JSON.
const writesBytesMax = 128 << 20

// ReadLog is GET /__pyraft/lab/writes: what the member has applied since it was started or was given a snapshot. A delete of
// nothing is a write too, for it has an entry.
func (s *System) ReadLog(ctx context.Context, endpoint string) (linearizability.Log, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/__pyraft/lab/writes", nil)
	if err != nil {
		return linearizability.Log{}, fmt.Errorf("raftkv: writes: %w", err)
	}
	resp, err := s.ask.Do(req)
	if err != nil {
		return linearizability.Log{}, fmt.Errorf("raftkv: writes: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return linearizability.Log{}, fmt.Errorf("raftkv: writes: %s", resp.Status)
	}
	var reply struct {
		From   uint64 `json:"from,string"`
		To     uint64 `json:"to,string"`
		Writes []struct {
			Index uint64 `json:"index,string"`
			Term  uint64 `json:"term,string"`
			Op    string `json:"op"`
			Key   string `json:"key"`
			Value []byte `json:"value"`
		} `json:"writes"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, writesBytesMax)).Decode(&reply); err != nil {
		return linearizability.Log{}, fmt.Errorf("raftkv: writes: %w", err)
	}
	log := linearizability.Log{From: reply.From, To: reply.To}
	for _, w := range reply.Writes {
		log.Entries = append(log.Entries, linearizability.LogEntry{
			Index: w.Index, Term: w.Term, Kind: linearizability.Kind(w.Op), Key: w.Key, Value: string(w.Value)})
	}
	return log, nil
}
