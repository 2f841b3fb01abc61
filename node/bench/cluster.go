package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// system is one column of the comparison: a cluster and the protocol that it is spoken to in.
type system struct {
	name     string
	protocol string
	cluster  *cluster
}

// cluster is the processes of one store. They run from before the first measurement to after the last.
type cluster struct {
	addresses []string // of the members, for clients
	members   []*process
	debug     []string // of the members, for profiles; empty without
	number    uint64   // of the next write
	// leader is the position of the member that leads, as the cluster says.
	leader func(context.Context) (int, error)
}

const readyMax = 30 * time.Second

// startRaftd starts one member and has the others join it, one by one.
func startRaftd(ctx context.Context, dir, name, binary string, profile bool) (*cluster, error) {
	addresses, err := freeAddresses(6)
	if err != nil {
		return nil, err
	}
	c := &cluster{addresses: addresses[:3]}
	c.leader = func(ctx context.Context) (int, error) {
		var status struct{ Leader string }
		if err := ask(ctx, http.MethodGet, "http://"+c.addresses[0]+"/__pyraft/status", &status); err != nil {
			return 0, err
		}
		return position(c.addresses, status.Leader)
	}
	for i, address := range c.addresses {
		host, port, _ := strings.Cut(address, ":")
		member := fmt.Sprintf("%s-%d", name, i+1)
		args := []string{"--host", host, "--port", port, "--data", filepath.Join(dir, member), "--log-level", "warn"}
		if i > 0 {
			args = append(args, "--join", c.addresses[0])
		}
		if profile {
			c.debug = addresses[3:]
			args = append(args, "--pprof", c.debug[i])
		}
		p, err := start(ctx, dir, member, binary, args...)
		if err != nil {
			return c, err
		}
		c.members = append(c.members, p)
		// Ready says more than listening: it has joined, has a vote, and knows the leader.
		if err := until(ctx, readyMax, p, func(ctx context.Context) error {
			return ask(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// startEtcd starts three members of a static cluster.
func startEtcd(ctx context.Context, dir, self string) (*cluster, error) {
	addresses, err := freeAddresses(6)
	if err != nil {
		return nil, err
	}
	c := &cluster{addresses: addresses[:3]}
	ids := make([]string, 3)
	status := func(ctx context.Context, address string) (id, leader string, err error) {
		var reply struct {
			Header struct {
				MemberID string `json:"member_id"`
			}
			Leader string
		}
		err = ask(ctx, http.MethodPost, "http://"+address+"/v3/maintenance/status", &reply)
		return reply.Header.MemberID, reply.Leader, err
	}
	c.leader = func(ctx context.Context) (int, error) {
		_, leader, err := status(ctx, c.addresses[0])
		if err != nil {
			return 0, err
		}
		return position(ids, leader)
	}
	var all []string
	for i, peer := range addresses[3:] {
		all = append(all, fmt.Sprintf("etcd-%d=http://%s", i+1, peer))
	}
	for i, address := range c.addresses {
		name := fmt.Sprintf("etcd-%d", i+1)
		p, err := start(ctx, dir, name, self, "etcd", "-name", name, "-data", filepath.Join(dir, name),
			"-client", address, "-peer", addresses[3+i], "-cluster", strings.Join(all, ","))
		if err != nil {
			return c, err
		}
		c.members = append(c.members, p)
	}
	for i, address := range c.addresses {
		if err := until(ctx, readyMax, c.members[i], func(ctx context.Context) error {
			id, leader, err := status(ctx, address)
			if err == nil && (leader == "" || leader == "0") {
				err = errors.New("bench: no leader yet")
			}
			ids[i] = id
			return err
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

func startBare(ctx context.Context, dir, self string, valueBytes int) (*cluster, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	c := &cluster{addresses: addresses, leader: func(context.Context) (int, error) { return 0, nil }}
	p, err := start(ctx, dir, "bare", self, "bare", "-listen", addresses[0], "-value", fmt.Sprint(valueBytes))
	if err != nil {
		return c, err
	}
	c.members = append(c.members, p)
	return c, until(ctx, readyMax, p, func(ctx context.Context) error {
		return ask(ctx, http.MethodGet, "http://"+addresses[0]+"/ready", nil)
	})
}

func position(names []string, name string) (int, error) {
	if i := slices.Index(names, name); i >= 0 && name != "" {
		return i, nil
	}
	return 0, fmt.Errorf("bench: the leader is %q, none of %s", name, strings.Join(names, " "))
}

// ask makes one request apart from the load, and decodes the reply's JSON if anybody wants it.
func ask(ctx context.Context, method, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	if method == http.MethodGet {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Close = true
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, replyBytesMax))
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusOK {
		return notDone(reply.StatusCode, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// canProfile says whether this raftd knows --pprof.
func canProfile(ctx context.Context, binary string) bool {
	help, _ := child(ctx, binary, "--help").CombinedOutput()
	return bytes.Contains(help, []byte("-pprof"))
}

// saveProfile writes the CPU profile of the next seconds to a file.
func saveProfile(ctx context.Context, address, file string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d+10*time.Second)
	defer cancel()
	seconds := max(1, int(d.Seconds()))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds), nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = notDone(reply.StatusCode, body)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o644)
}

// buildOf is the commit that the binary was built from, as Go recorded it.
func buildOf(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "(not a Go binary)"
	}
	revision, modified := "(no commit recorded)", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " and changes"
		}
	}
	return revision + modified + ", " + info.GoVersion
}
