package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"raftlab/chaos/serve"
	"raftlab/harness/process"
	"raftlab/harness/scratch"
	"raftlab/harness/systems/raftkv"
)

func serveCommand(stdout io.Writer) *cobra.Command {
	var addr, runs, binary string
	var cluster int
	var open bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Show runs in a browser: a list, two side by side, their reports; with --cluster a live cluster to break",
		Long: `Serves the runs of a directory to this machine. With --cluster N it starts N members on local processes too, shows
them live, and lets you kill, pause and cut them off; they end with this program. Faults are taken on loopback only.`,
		Args: noWords,
		RunE: func(*cobra.Command, []string) error {
			if _, port, err := net.SplitHostPort(addr); err != nil {
				return usage("--addr %q must be host:port", addr)
			} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return usage("--addr %q: port %q must be from 0 to 65535, where 0 is any that is free", addr, port)
			}
			if cluster == 0 && binary != "" {
				return usage("--binary is for the members of --cluster")
			}
			if cluster != 0 && (cluster < nodesMin || cluster > nodesMax) {
				return usage("--cluster %d must be from %d to %d", cluster, nodesMin, nodesMax)
			}
			return serveRuns(stdout, addr, runs, binary, cluster, open)
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:8090", "where to listen")
	c.Flags().StringVar(&runs, "out", "runs", "directory of the run directories")
	c.Flags().IntVar(&cluster, "cluster", 0, "members of a cluster to start, show and break by hand")
	c.Flags().StringVar(&binary, "binary", "", "raftd of a member (default: the one beside this program)")
	c.Flags().BoolVar(&open, "open", false, "open it in the browser too")
	return c
}

func serveRuns(stdout io.Writer, addr, runs, binary string, nodes int, open bool) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return environment("--addr %s: %w; --addr 127.0.0.1:0 takes a port that is free", addr, err)
	}
	defer listener.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	at, _ := listener.Addr().(*net.TCPAddr)
	config := serve.Config{Runs: runs, Loopback: at != nil && at.IP.IsLoopback()}
	if nodes > 0 {
		lab, end, err := startLab(ctx, binary, nodes)
		if err != nil {
			return err
		}
		defer end()
		config.Lab = lab
	}
	url := "http://" + listener.Addr().String() + "/"
	if nodes > 0 {
		url += "live"
	}
	fmt.Fprintf(stdout, "%s   (Ctrl-C ends it)\n", url)
	server := &http.Server{Handler: serve.New(config), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() }) // streams too
	if open {
		if err := show(url); err != nil {
			fmt.Fprintln(stdout, oneLine(err))
		}
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return environment("%w", err)
	}
	return nil
}

// startLab starts members that end with this program.
func startLab(ctx context.Context, binary string, nodes int) (*serve.Lab, func(), error) {
	if binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, nil, environment("%w", err)
		}
		binary = filepath.Join(filepath.Dir(self), "raftd")
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, nil, environment("no raftd at %s: make build, or give --binary", binary)
	}
	dir, err := scratch.Make()
	if err != nil {
		return nil, nil, environment("%w", err)
	}
	system := raftkv.New(raftkv.Options{Binary: binary})
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cluster, err := process.Start(starting, system, process.Options{Nodes: nodes, Dir: dir.Path()})
	if err != nil {
		system.Close()
		return nil, nil, errors.Join(environment("%w", err), dir.Close())
	}
	lab := serve.NewLab(cluster, system)
	return lab, func() {
		ending, cancel := context.WithTimeout(context.Background(), collectTimeout)
		defer cancel()
		_, _ = lab.Heal(ending) // the members end anyway
		lab.Close()
		_ = cluster.Close(ending)
		system.Close()
		dir.Close()
	}, nil
}
