package convert

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Report tells what became of every key of the old file.
type Report struct {
	File       string
	Keys       []*Key // of the file and of what it includes, by class and place
	Notes      []*Key // what no key is to blame for
	Connectors int    // in the file
	Kept       int    // of them
}

// report sorts what became of the keys. Those of a connector that is left out are skipped, but for its errors.
func (v *converter) report(file string) *Report {
	r := &Report{File: file, Notes: v.notes, Connectors: len(v.root.blocks["connect"]), Kept: v.kept()}
	v.root.each(func(k *Key) { r.Keys = append(r.Keys, k) })
	for _, k := range append(slices.Clone(r.Keys), r.Notes...) {
		if k.owner != nil && k.owner.broken && k.Class != Failed {
			k.Class, k.To, k.Why = Skipped, "", "its connector is left out"
		}
	}
	r.Notes = slices.DeleteFunc(r.Notes, func(k *Key) bool { return k.Class == Skipped })
	for _, list := range [][]*Key{r.Keys, r.Notes} {
		slices.SortStableFunc(list, func(a, b *Key) int {
			return cmp.Or(cmp.Compare(slices.Index(classes(), a.Class), slices.Index(classes(), b.Class)), byPlace(a.Place, b.Place))
		})
	}
	return r
}

func byPlace(a, b string) int {
	split := func(place string) (string, int) {
		i := strings.LastIndexByte(place, ':')
		n, _ := strconv.Atoi(place[i+1:]) // no number: at the beginning
		return place[:max(i, 0)], n
	}
	fileA, lineA := split(a)
	fileB, lineB := split(b)
	return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(lineA, lineB))
}

// Count is how many keys are of one of the classes.
func (r *Report) Count(of ...Class) (n int) {
	for _, k := range r.Keys {
		if slices.Contains(of, k.Class) {
			n++
		}
	}
	return n
}

// Errors is how many things cannot be kept.
func (r *Report) Errors() int {
	n := r.Count(Failed)
	for _, k := range r.Notes {
		if k.Class == Failed {
			n++
		}
	}
	return n
}

// Summary is the report in a line.
func (r *Report) Summary() string {
	var counts []string
	for _, class := range classes() {
		if n := r.Count(class); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, class))
		}
	}
	return fmt.Sprintf("%s: %d keys: %s; %d of %d connectors become routes", r.File, len(r.Keys), strings.Join(counts, ", "), r.Kept, r.Connectors)
}

// explanations say what a class means.
func (c Class) explanation() string {
	return map[Class]string{
		Failed:   "what cannot be kept; its connector is left out",
		Changed:  "what is kept and does something else: read this",
		Ignored:  "what nats-kafka pays no heed to",
		Obsolete: "what Sluice does by itself",
		Default:  "what Sluice does anyway, so it is left out",
		Mapped:   "what is kept",
		Skipped:  "what is left out with its connector",
	}[c]
}

// Print writes the report for people. It holds no value of the old file that may be a secret.
func (r *Report) Print(out io.Writer) error {
	fmt.Fprintln(out, r.Summary())
	for _, class := range classes() {
		of := func(k *Key) bool { return k.Class != class }
		lines := append(slices.DeleteFunc(slices.Clone(r.Keys), of), slices.DeleteFunc(slices.Clone(r.Notes), of)...)
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", class, class.explanation())
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		for _, k := range lines {
			text := k.Name
			if k.To != "" {
				text += " → " + k.To
			}
			if k.Why != "" {
				text += ": " + k.Why
			}
			fmt.Fprintf(w, "  %s\t%s\n", k.Place, text)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
