package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// client is one closed loop's way to a store. Both calls return nil only for an answer that says: done. Slices
// belong to the caller again when the call returns; a value is valid until the next call.
type client interface {
	Put(key, value []byte) error
	Get(key []byte) ([]byte, error)
	Close() error
}

// The protocols that the load generator speaks.
const (
	speakRaftd    = "raftd"
	speakEtcdHTTP = "etcd-http"
	speakEtcdGRPC = "etcd-grpc"
	speakBare     = "bare" // as raftd, to a server that stores nothing
)

// statusError is an answer that is not the one hoped for. The connection is still good.
type statusError struct {
	status int
	body   string
}

func (e statusError) Error() string { return fmt.Sprintf("bench: status %d: %s", e.status, e.body) }

func notDone(status int, body []byte) error {
	return statusError{status, string(body[:min(len(body), 200)])}
}

// raftClient speaks raftd's API as its README does: PUT and GET of /{key}.
type raftClient struct {
	http        *http1
	host        string
	contentType string
	request     []byte
}

func (c *raftClient) Put(key, value []byte) error {
	r := append(c.request[:0], "PUT /"...)
	r = append(r, key...)
	r = append(r, " HTTP/1.1\r\nHost: "...)
	r = append(r, c.host...)
	r = append(r, "\r\nContent-Type: "...)
	r = append(r, c.contentType...)
	r = append(r, "\r\nContent-Length: "...)
	r = strconv.AppendInt(r, int64(len(value)), 10)
	r = append(r, "\r\n\r\n"...)
	c.request = append(r, value...)
	status, body, err := c.http.Do(c.request)
	// 200 is not enough for everyone: PyRaft answers 200 "pending" for what is not committed.
	if err == nil && (status != 200 || !bytes.Contains(body, []byte(`"status":"ok"`))) {
		err = notDone(status, body)
	}
	return err
}

func (c *raftClient) Get(key []byte) ([]byte, error) {
	r := append(c.request[:0], "GET /"...)
	r = append(r, key...)
	r = append(r, " HTTP/1.1\r\nHost: "...)
	r = append(r, c.host...)
	c.request = append(r, "\r\n\r\n"...)
	status, body, err := c.http.Do(c.request)
	if err == nil && status != 200 {
		err = notDone(status, body)
	}
	return body, err
}

func (c *raftClient) Close() error { return c.http.Close() }

// gatewayClient speaks to etcd's HTTP/JSON gateway, where keys and values are base64.
type gatewayClient struct {
	http          *http1
	host          string
	request, json []byte
	value         []byte
}

func (c *gatewayClient) post(path string) (int, []byte, error) {
	r := append(c.request[:0], "POST "...)
	r = append(r, path...)
	r = append(r, " HTTP/1.1\r\nHost: "...)
	r = append(r, c.host...)
	r = append(r, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	r = strconv.AppendInt(r, int64(len(c.json)), 10)
	r = append(r, "\r\n\r\n"...)
	c.request = append(r, c.json...)
	return c.http.Do(c.request)
}

func (c *gatewayClient) Put(key, value []byte) error {
	j := append(c.json[:0], `{"key":"`...)
	j = base64.StdEncoding.AppendEncode(j, key)
	j = append(j, `","value":"`...)
	j = base64.StdEncoding.AppendEncode(j, value)
	c.json = append(j, `"}`...)
	status, body, err := c.post("/v3/kv/put")
	if err == nil && (status != 200 || !bytes.Contains(body, []byte(`"revision":"`))) {
		err = notDone(status, body)
	}
	return err
}

// Get is linearizable, as every range is that does not ask for serializable.
func (c *gatewayClient) Get(key []byte) ([]byte, error) {
	j := append(c.json[:0], `{"key":"`...)
	j = base64.StdEncoding.AppendEncode(j, key)
	c.json = append(j, `"}`...)
	status, body, err := c.post("/v3/kv/range")
	if err != nil {
		return nil, err
	}
	// Decoding the JSON in full would cost the load generator more than the request.
	_, rest, found := bytes.Cut(body, []byte(`"value":"`))
	encoded, _, ended := bytes.Cut(rest, []byte(`"`))
	if status != 200 || !found || !ended {
		return nil, notDone(status, body)
	}
	c.value, err = base64.StdEncoding.AppendDecode(c.value[:0], encoded)
	return c.value, err
}

func (c *gatewayClient) Close() error { return c.http.Close() }

// grpcClient shares its connection with other loops: gRPC carries many calls on one.
type grpcClient struct {
	ctx    context.Context
	client *clientv3.Client
}

func (c *grpcClient) Put(key, value []byte) error {
	_, err := c.client.Put(c.ctx, string(key), string(value))
	return err
}

func (c *grpcClient) Get(key []byte) ([]byte, error) {
	r, err := c.client.Get(c.ctx, string(key))
	if err != nil {
		return nil, err
	}
	if len(r.Kvs) != 1 {
		return nil, fmt.Errorf("bench: %d values for key %s", len(r.Kvs), key)
	}
	return r.Kvs[0].Value, nil
}

func (c *grpcClient) Close() error { return nil }

// connect makes n clients of one address. ctx and deadline bound all that they will do.
func connect(ctx context.Context, protocol, address, contentType string, n int, deadline time.Time) (clients []client, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range clients {
			c.Close()
		}
	}
	if protocol == speakEtcdGRPC {
		return connectGRPC(ctx, address, n)
	}
	for range n {
		h, err := dialHTTP1(address, deadline)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		switch protocol {
		case speakRaftd, speakBare:
			clients = append(clients, &raftClient{http: h, host: address, contentType: contentType})
		case speakEtcdHTTP:
			clients = append(clients, &gatewayClient{http: h, host: address})
		default:
			h.Close()
			return nil, nil, fmt.Errorf("bench: no protocol %q", protocol)
		}
	}
	return clients, closeAll, nil
}

// grpcConnections is how many connections n loops share: 1, 4, 8 and 16 for 1, 16, 64 and 256, which etcd's own
// benchmark tool is run with. One each is slower, for gRPC and for etcd.
func grpcConnections(n int) int {
	c := 1
	for (c+1)*(c+1) <= n {
		c++
	}
	return c
}

func connectGRPC(ctx context.Context, address string, n int) (clients []client, closeAll func(), err error) {
	var shared []*clientv3.Client
	closeAll = func() {
		for _, c := range shared {
			c.Close()
		}
	}
	for range grpcConnections(n) {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 5 * time.Second, Context: ctx})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		shared = append(shared, c)
	}
	for i := range n {
		clients = append(clients, &grpcClient{ctx, shared[i%len(shared)]})
	}
	return clients, closeAll, nil
}
