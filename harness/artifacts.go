package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Run is the directory of one run: <root>/<time>-<scenario>-<seed>/. Everything that was seen in the run is
// below it, so that it can be judged again without running again.
type Run struct {
	root string
	name string
}

// CreateRun makes the directory. It never reuses one: a second run in the same second gets a number.
func CreateRun(root, scenario string, seed int64, at time.Time) (*Run, error) {
	if scenario == "" || strings.ContainsAny(scenario, `/\`) || strings.HasPrefix(scenario, ".") {
		return nil, fmt.Errorf("harness: run directory: scenario %q cannot be part of a directory's name", scenario)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("harness: run directory: %w", err)
	}
	base := fmt.Sprintf("%s-%s-%d", at.Format("20060102-150405"), scenario, seed)
	for i := 1; ; i++ {
		name := base
		if i > 1 {
			name = fmt.Sprintf("%s.%d", base, i)
		}
		err := os.Mkdir(filepath.Join(root, name), 0o755)
		if err == nil {
			return &Run{root: root, name: name}, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("harness: run directory: %w", err)
		}
	}
}

// ID is the directory's name. Containers and networks of the run are labelled with it.
func (r *Run) ID() string { return r.name }

// Dir is the path of the directory.
func (r *Run) Dir() string { return filepath.Join(r.root, r.name) }

// Path joins names below the directory.
func (r *Run) Path(names ...string) string {
	return filepath.Join(append([]string{r.Dir()}, names...)...)
}

// Node is the directory of one member's artifacts. It is made if it is not there.
func (r *Run) Node(node string) (string, error) {
	dir := r.Path(nodesDir, node)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("harness: run directory: %w", err)
	}
	return dir, nil
}

// WriteJSON writes a value as an indented JSON file. A reader sees the old file or the new one, never a part.
func (r *Run) WriteJSON(name string, value any) error {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("harness: write %s: %w", name, err)
	}
	return r.WriteFile(name, append(b, '\n'))
}

// WriteFile writes a file by renaming it into place.
func (r *Run) WriteFile(name string, data []byte) error {
	if err := ReplaceFile(r.Dir(), name, data); err != nil {
		return fmt.Errorf("harness: write %s: %w", name, err)
	}
	return nil
}

// CollectLogs copies what every member and former member wrote to nodes/<name>/log. One that cannot be read does not keep back the
// others.
func (r *Run) CollectLogs(ctx context.Context, c Cluster) error {
	var errs []error
	for _, node := range Everybody(c) {
		if err := r.collectLog(ctx, c, node); err != nil {
			errs = append(errs, fmt.Errorf("harness: log of %s: %w", node, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Run) collectLog(ctx context.Context, c Cluster, node string) error {
	dir, err := r.Node(node)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	return errors.Join(c.Log(ctx, node, f), f.Close())
}

// Link points <root>/latest at this run, and <root>/latest-fail too where the run failed.
func (r *Run) Link(failed bool) error {
	links := []string{"latest"}
	if failed {
		links = append(links, "latest-fail")
	}
	for _, link := range links {
		path := filepath.Join(r.root, link)
		temporary := filepath.Join(r.root, "."+link+"-"+r.name)
		if err := os.Symlink(r.name, temporary); err != nil {
			return fmt.Errorf("harness: link %s: %w", link, err)
		}
		if err := os.Rename(temporary, path); err != nil {
			os.Remove(temporary)
			return fmt.Errorf("harness: link %s: %w", link, err)
		}
	}
	return nil
}
