package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

// serveBare is the ceiling: net/http and httprouter as raftd uses them, with a handler that reads what it is
// sent, stores nothing and answers at once. No server on this stack can be faster on this machine.
func serveBare(ctx context.Context, address string, valueBytes int) error {
	reply := []byte(`{"status":"ok"}` + "\n")
	value := newValues(valueBytes, 0).fill(nil, appendKey(nil, 0), 0)
	router := httprouter.New()
	router.PUT("/:key", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		if r.ContentLength < 0 || r.ContentLength > replyBytesMax {
			http.Error(w, "Content-Length is missing or too large", http.StatusBadRequest)
			return
		}
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Write(reply)
	})
	router.GET("/:key", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Write(value)
	})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
