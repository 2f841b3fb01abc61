package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"raftlab/harness"
)

// peerPath is of the calls that change the members: any member takes them, and gives them to the leader.
const peerPath = "/__pyraft/peer/"

// Admit is PUT /__pyraft/peer/{address}: it answers once the newcomer, a learner until it has caught up, has its vote. The
// newcomer asks for the same by itself (--join).
func (s *System) Admit(ctx context.Context, endpoint string, newcomer harness.Place) error {
	_, err := s.call(ctx, http.MethodPut, endpoint, peerPath+newcomer.Address)
	return err
}

// Expel is DELETE /__pyraft/peer/{address}.
func (s *System) Expel(ctx context.Context, endpoint, address string) error {
	_, err := s.call(ctx, http.MethodDelete, endpoint, peerPath+address)
	return err
}

// Configuration is what GET /__pyraft/status says of the members.
func (s *System) Configuration(ctx context.Context, endpoint string) (harness.Configuration, error) {
	body, err := s.get(ctx, endpoint, "/__pyraft/status")
	if err != nil {
		return harness.Configuration{}, err
	}
	var reply struct {
		Commit uint64 `json:"commit"`
		Index  uint64 `json:"configuration_index"`
		Peers  []struct {
			ID      string `json:"id"`
			Address string `json:"address"`
			Learner bool   `json:"learner"`
		} `json:"peers"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return harness.Configuration{}, fmt.Errorf("raftkv: status: %w", err)
	}
	c := harness.Configuration{Index: reply.Index, Committed: reply.Commit >= reply.Index}
	for _, p := range reply.Peers {
		c.Members = append(c.Members, harness.Configured{ID: p.ID, Address: p.Address, Voter: !p.Learner})
	}
	return c, nil
}
