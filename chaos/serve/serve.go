// Package serve shows the runs of a directory in a browser: a list, two runs side by side, their reports; and, where it is
// given a Lab, a running cluster that can be broken by hand.
//
// It is made for the person at this machine. Who reaches it can read every run, so it listens on loopback unless told
// otherwise; and faults are taken on loopback only, whatever it is told.
package serve

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"raftlab/chaos/report"
)

// Config of a Server.
type Config struct {
	Runs     string // directory of the run directories
	Loopback bool   // it is reached from this machine alone
	Lab      *Lab   // nil where there is no cluster to show
}

// Server answers a browser. It is safe for concurrent use.
type Server struct {
	config Config
	routes *http.ServeMux
	origin *http.CrossOriginProtection

	mu      sync.Mutex
	glanced map[string]glanced // by the run's directory
}

// New makes a Server. It looks at Runs at each request.
func New(c Config) *Server {
	s := &Server{config: c, routes: http.NewServeMux(), origin: http.NewCrossOriginProtection(), glanced: map[string]glanced{}}
	s.routes.HandleFunc("GET /{$}", s.index)
	s.routes.HandleFunc("GET /compare", s.compare)
	s.routes.HandleFunc("GET /runs/{run}/{file...}", s.file)
	if c.Lab != nil {
		c.Lab.register(s.routes, c.Loopback)
	}
	return s
}

// ServeHTTP refuses names that are not this machine's where only this machine is to be served: else a page of another site,
// whose name was made to point here, could read everything and break the cluster.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.config.Loopback && !local(r.Host) {
		http.Error(w, "this is served to this machine only: ask for it as localhost", http.StatusForbidden)
		return
	}
	if err := s.origin.Check(r); err != nil {
		http.Error(w, "a page of another site may not do that", http.StatusForbidden)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	s.routes.ServeHTTP(w, r)
}

func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// open opens a run directory. Nothing below it leads out of it, nor does a link in its place out of the runs.
func (s *Server) open(name string) (*os.Root, error) {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, fs.ErrNotExist
	}
	runs, err := os.OpenRoot(s.config.Runs)
	if err != nil {
		return nil, err
	}
	defer runs.Close()
	return runs.OpenRoot(name)
}

// file serves what is in a run directory. The report is made where it is missing, so that runs of an older lab have one too.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	name, file := r.PathValue("run"), r.PathValue("file")
	root, err := s.open(name)
	if err != nil {
		http.Error(w, "there is no run "+name, http.StatusNotFound)
		return
	}
	defer root.Close()
	if file == "" {
		file = report.FileName
	}
	if file == report.FileName {
		if _, err := root.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if err := report.Write(filepath.Join(s.config.Runs, name)); err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
		}
	}
	info, err := root.Stat(file)
	if err != nil || !info.Mode().IsRegular() { // a named pipe would keep us waiting
		http.NotFound(w, r)
		return
	}
	// Whatever is in a run directory, also one that was brought from elsewhere, is no page of ours: its scripts run, and reach neither
	// other runs nor the live cluster, to which a page of this origin could do anything.
	w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-downloads allow-popups")
	if filepath.Ext(file) != ".html" { // logs and lines of JSON are to be read, not saved
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	http.ServeFileFS(w, r, root.FS(), file)
}
