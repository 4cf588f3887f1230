package config

import (
	"fmt"
	"strings"
)

// minPrefix is how much of a word has to stand there to be taken for its beginning.
const minPrefix = 4

// nearest returns the candidate that is most like word, or nothing where none is near enough: a
// confident wrong name is worse than none.
func nearest(word string, candidates []string) (string, bool) {
	best, at := "", max(2, len(word)*3/10)+1
	for _, c := range candidates {
		lower, candidate := strings.ToLower(word), strings.ToLower(c)
		d := distance(lower, candidate)
		if len(lower) >= minPrefix && strings.HasPrefix(candidate, lower) {
			d = 1 // client for client_id
		}
		if d < at && d < len(c) && d < len(word) {
			best, at = c, d
		}
	}
	return best, best != ""
}

// didYouMean returns the question for a wrong word, or else the list of what there is.
func didYouMean(word string, candidates []string) string {
	if near, ok := nearest(word, candidates); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return ""
	}
	return "there is " + strings.Join(candidates, ", ")
}

// maxWord bounds the quadratic work on words from outside.
const maxWord = 64

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
