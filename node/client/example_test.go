package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raftlab/node/client"
)

// A lock that is held by whoever has written its name where there was none.
func Example() {
	c, err := client.New(client.Config{Members: []string{"127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	version, err := c.Put(ctx, "lock", client.Value{Data: []byte("me")}, client.IfAbsent())
	switch {
	case errors.Is(err, client.ErrCondition):
		fmt.Println("somebody else has it")
	case client.Done(err) == client.Unknown:
		fmt.Println("read it to find out:", err)
	case err != nil:
		fmt.Println("not taken:", err)
	default:
		fmt.Println("taken")
		_ = c.Delete(ctx, "lock", client.IfVersion(version))
	}
}
