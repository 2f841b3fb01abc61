// Package report turns a run directory into what a person and a CI read: report.html, junit.xml and annotations.
//
// Read reads everything that a run has stored into a plain Run, and nothing here looks anywhere else: a report can be made
// again, long after the run, from the directory alone. It knows files, not the lab that wrote them: faults and checks are
// shown by their names, so a new kind of either needs no change here.
//
// report.html is one file that needs no network and no script: the drawings are SVG made here. What the script adds is
// zoom, values under the pointer, and the filter of operations. See READING.md for what each part means.
package report
