package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"raftlab/linearizability"
)

// LogReader is a System whose members tell what their logs hold. With it the order that they claim is held against every
// member's log, and writes of unknown outcome are found there. Without it the lab says how many reads it could not judge.
type LogReader interface {
	// ReadLog tells every write of the log that the member at endpoint still has, from the member's own copy and not
	// through the leader. Node need not be set.
	ReadLog(ctx context.Context, endpoint string) (linearizability.Log, error)
}

// ReadLogs asks every member at once. The error is ErrUnsupported where the System is no LogReader; members that did not
// answer are in failed.
func ReadLogs(ctx context.Context, c Cluster, s System) (logs []linearizability.Log, failed map[string]error, err error) {
	reader, ok := s.(LogReader)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s does not tell its members' logs", ErrUnsupported, s.Name())
	}
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	failed = map[string]error{}
	for _, node := range Names(c) {
		wg.Go(func() {
			endpoint, err := c.Endpoint(ctx, node)
			var log linearizability.Log
			if err == nil {
				log, err = reader.ReadLog(ctx, endpoint)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[node] = err
				return
			}
			log.Node = node
			logs = append(logs, log)
		})
	}
	wg.Wait()
	slices.SortFunc(logs, func(a, b linearizability.Log) int { return strings.Compare(a.Node, b.Node) })
	return logs, failed, nil
}
