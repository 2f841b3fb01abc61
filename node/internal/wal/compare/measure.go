package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kind is what a reopen did, from best to worst.
type kind int

const (
	inapplicable kind = iota
	kept              // all that was acknowledged is there
	refused           // an error, and nothing was changed or answered
	lost              // opened without an error, and without entries that were acknowledged
	wrong             // returned bytes that nobody wrote at that place
)

// outcome is what one reopen did.
type outcome struct {
	kind kind
	says string
}

// judge compares what a reopen returned with what it must hold.
func judge(v variant, read []entry, err error) outcome {
	if err != nil {
		return outcome{refused, err.Error()}
	}
	may := map[uint64][]byte{}
	for _, e := range v.acked {
		may[e.index] = e.data
	}
	for _, e := range v.began {
		may[e.index] = e.data
	}
	got := map[uint64]bool{}
	for _, e := range read {
		if data, known := may[e.index]; !known || !bytes.Equal(data, e.data) {
			return outcome{wrong, fmt.Sprintf("entry %d", e.index)}
		}
		got[e.index] = true
	}
	missing := 0
	for _, e := range v.acked {
		if !got[e.index] {
			missing++
		}
	}
	if missing > 0 {
		return outcome{lost, fmt.Sprintf("%d of %d", missing, len(v.acked))}
	}
	return outcome{kept, ""}
}

// reopen lays the files, opens them and judges.
func (b *bases) reopen(s store, v variant) (outcome, error) {
	files, err := v.files()
	var refusal refusal
	if errors.As(err, &refusal) {
		return judge(v, nil, refusal.error), nil
	}
	if err != nil {
		return outcome{}, err
	}
	dir, err := files.lay(b.root)
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(filepath.Dir(dir))
	l, read, err := s.open(dir)
	if err == nil {
		l.close()
	}
	return judge(v, read, err), nil
}

// cell is the worst of all variants of one damage to one store.
func (b *bases) cell(s store, r row) (outcome, error) {
	variants, err := r.variants(s, b)
	if errors.Is(err, errOneFile) {
		return outcome{inapplicable, err.Error()}, nil
	}
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %s: %w", s.name(), r.damage, err)
	}
	var worst outcome
	for _, v := range variants {
		o, err := b.reopen(s, v)
		if err != nil {
			return o, fmt.Errorf("%s: %s: %w", s.name(), r.damage, err)
		}
		if o.kind > worst.kind || o.kind == worst.kind && o.kind == lost && o.says > worst.says {
			worst = o
		}
	}
	if worst.kind == inapplicable {
		return worst, fmt.Errorf("%s: %s: there was nothing to damage", s.name(), r.damage)
	}
	return worst, nil
}

// text is the cell in the table. What is not right stands in bold.
func (o outcome) text(right []kind) string {
	text := map[kind]string{inapplicable: "(" + o.says + ")", kept: "keeps all", refused: "refuses",
		lost: "silently loses " + o.says, wrong: "returns wrong bytes"}[o.kind]
	if o.kind != inapplicable && !slices.Contains(right, o.kind) {
		return "**" + text + "**"
	}
	return text
}

// measurement is every cell, by row and then store.
type measurement [][]outcome

func measure(root string, stores []store, tell func(string)) (measurement, error) {
	b := newBases(root)
	table := make(measurement, len(rows))
	for i := range rows {
		table[i] = make([]outcome, len(stores))
	}
	for j, s := range stores { // one store after the other, so that only one has its files in memory
		for i, r := range rows {
			o, err := b.cell(s, r)
			if err != nil {
				return nil, err
			}
			table[i][j] = o
			tell(fmt.Sprintf("%-34s %-58s %s %s", s.name(), r.damage, o.text(r.right), o.says))
		}
		b.made = map[string]*base{}
	}
	return table, nil
}

// markdown prints the table.
func (m measurement) markdown(stores []store) string {
	var out strings.Builder
	out.WriteString("| what happens to the log |")
	for _, s := range stores {
		fmt.Fprintf(&out, " %s |", s.name())
	}
	out.WriteString("\n|---|" + strings.Repeat("---|", len(stores)) + "\n")
	for i, r := range rows {
		fmt.Fprintf(&out, "| %s |", r.damage)
		for _, o := range m[i] {
			fmt.Fprintf(&out, " %s |", o.text(r.right))
		}
		out.WriteString("\n")
	}
	return out.String()
}
