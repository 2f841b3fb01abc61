// Package nearest says which word somebody meant who wrote one that nobody knows.
package nearest

import (
	"slices"
	"strings"
)

// Hint is the rest of a sentence that ends in "is not known; ". It names what looks like the word; where nothing does, it is
// list, or, where that is empty, all of them.
func Hint(word string, known []string, list string) string {
	if near := Words(word, known); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	if list != "" {
		return list
	}
	return "use " + strings.Join(known, ", ")
}

// Words are those at the least distance of the word, where that is at most a third of its length: a slip of the fingers.
// Where none is, those that contain it.
func Words(word string, known []string) (near []string) {
	if word == "" {
		return nil
	}
	least := max(1, len(word)/3)
	for _, k := range known {
		switch d := distance(strings.ToLower(word), strings.ToLower(k)); {
		case d < least:
			least, near = d, []string{k}
		case d == least:
			near = append(near, k)
		}
	}
	if len(near) == 0 && len(word) >= 3 {
		for _, k := range known {
			if strings.Contains(k, strings.ToLower(word)) {
				near = append(near, k)
			}
		}
	}
	return near[:min(len(near), 3)]
}

// distance counts letters inserted, left out, replaced, and pairs exchanged (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			rows[i][j] = slices.Min([]int{rows[i-1][j] + 1, rows[i][j-1] + 1, rows[i-1][j-1] + differ})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
