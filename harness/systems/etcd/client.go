package etcd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"raftlab/harness"
	"raftlab/harness/attempt"
	"raftlab/linearizability"
)

// client makes one attempt on the wire per operation.
type client struct {
	system   *System
	endpoint func(context.Context) (string, error)
	sender   *attempt.Sender
}

// Dial makes a client for one member. Nothing is dialled before the first operation.
func (s *System) Dial(_ string, endpoint func(context.Context) (string, error)) (harness.Client, error) {
	return &client{system: s, endpoint: endpoint, sender: attempt.New()}, nil
}

// Close ends the client's connections.
func (c *client) Close() error {
	c.sender.Close()
	return nil
}

// Do makes one attempt. A write of which anything was sent and that was not acknowledged is unknown, with one exception:
// etcd refuses a request before it is proposed where too many wait. A read changes nothing, so one without an answer has
// failed.
func (c *client) Do(ctx context.Context, op linearizability.Operation) linearizability.Result {
	path, body, err := c.request(op)
	if err != nil {
		return attempt.Failed("%v", err)
	}
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return attempt.Failed("find the member: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.system.at(endpoint)+path, nil)
	if err != nil {
		return attempt.Failed("%v", err)
	}
	resp, sent, err := c.sender.Do(req, body)
	if err != nil && !sent {
		return attempt.Failed("nothing was sent: %v", err)
	}
	lost := attempt.Lost(op.Kind)
	if err != nil {
		return lost("no answer: %v", err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return attempt.Failed("%s: %.200s", resp.Status, said)
	case resp.StatusCode != http.StatusOK:
		return lost("%s: %.200s", resp.Status, said)
	case err != nil:
		return lost("the answer broke off: %v", err)
	}
	var reply kvReply
	if err := json.Unmarshal(said, &reply); err != nil {
		return lost("the answer is not JSON: %v", err)
	}
	return reply.judge(op)
}

// request is the call of the gateway, where keys and values are base64.
func (c *client) request(op linearizability.Operation) (path string, body []byte, err error) {
	key, value := base64.StdEncoding.EncodeToString([]byte(op.Key)), base64.StdEncoding.EncodeToString([]byte(op.Value))
	type object map[string]any
	var call object
	switch op.Kind {
	case linearizability.Get:
		path, call = "/v3/kv/range", object{"key": key, "serializable": c.system.options.Serializable}
	case linearizability.Put:
		path, call = "/v3/kv/put", object{"key": key, "value": value}
	case linearizability.Delete:
		path, call = "/v3/kv/deleterange", object{"key": key}
	case linearizability.CAS:
		expect := base64.StdEncoding.EncodeToString([]byte(op.Expect))
		path, call = "/v3/kv/txn", object{
			"compare": []object{{"key": key, "target": "VALUE", "result": "EQUAL", "value": expect}},
			"success": []object{{"requestPut": object{"key": key, "value": value}}},
			"failure": []object{{"requestRange": object{"key": key}}},
		}
	default:
		return "", nil, fmt.Errorf("etcd: no request for an operation of kind %q", op.Kind)
	}
	body, err = json.Marshal(call)
	return path, body, err
}

type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	Mod   number `json:"mod_revision"`
}

// kvReply is what range, put, deleterange and txn answer.
type kvReply struct {
	Header    header `json:"header"`
	Pairs     []pair `json:"kvs"`
	Deleted   number `json:"deleted"`
	Succeeded bool   `json:"succeeded"`
	Responses []struct {
		Range struct {
			Pairs []pair `json:"kvs"`
		} `json:"response_range"`
	} `json:"responses"`
}

// judge takes the revision for the index: etcd counts one for each write that changed something, over all keys, and a
// read says which it saw. Its term is the member's, not that of an entry, so none is told.
func (r kvReply) judge(op linearizability.Operation) linearizability.Result {
	result := linearizability.Result{Outcome: linearizability.OK, Index: uint64(r.Header.Revision), ServedBy: fmt.Sprintf("%x", uint64(r.Header.Member))}
	switch op.Kind {
	case linearizability.Get:
		if len(r.Pairs) > 0 {
			result.Got, result.Version = linearizability.Value(string(r.Pairs[0].Value)), uint64(r.Pairs[0].Mod)
		}
	case linearizability.Delete:
		result.NoEffect = r.Deleted == 0
	case linearizability.CAS:
		result.Swapped = r.Succeeded
		if !r.Succeeded && len(r.Responses) > 0 && len(r.Responses[0].Range.Pairs) > 0 {
			result.Version = uint64(r.Responses[0].Range.Pairs[0].Mod)
		}
	}
	return result
}
