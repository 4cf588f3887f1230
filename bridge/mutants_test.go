//go:build mutants

package bridge

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants are faults that ring 1 has to catch: each replaces one text of one file.
var mutants = []struct{ name, file, old, new string }{
	{"settles what is not finished", "../flowcontrol/tracker.go",
		"for t.settled < len(t.items) && t.items[t.settled].finished {", "for t.settled < len(t.items) {"},
	{"takes a failed message as acknowledged", "deliver.go",
		"again = append(again, b.Messages[at])\n", "_ = at\n"},
	{"writes acknowledged messages again", "deliver.go",
		"view.Messages = again\n", "view.Messages = b.Messages\n"},
	{"recycles a batch with its first acknowledgement", "deliver.go",
		"	if f.left == 0 {\n		w.recycle(f.batch)", "	w.recycle(&connectors.Batch{Messages: f.batch.Messages})\n	if f.left == 0 {"},
	{"does not wait for room", "fetch.go",
		" || !n.awaitRoom(need) {", " {"},
	{"offers more room than is free", "fetch.go",
		"Messages: int(free.Messages), Bytes", "Messages: int(n.window.Limit().Messages), Bytes"},
	{"forgets a refused message", "reject.go",
		"	w.p.enter(flowcontrol.BlockerDeadLetter)\n", "	if w.p != nil {\n		return nil\n	}\n"},
	{"lets a revoked lane write on", "host.go",
		"	if done != nil {\n		<-done\n	}\n", "	_ = done\n"},
	{"keeps the room of what was revoked", "deliver.go",
		"		w.release(cost)\n		w.p.lane", "		w.p.lane"},
	{"gives back room twice", "deliver.go",
		"	w.release(cost)\n	w.route", "	w.release(cost)\n	w.release(flowcontrol.Cost{Messages: cost.Messages / 2})\n	w.route"},
	{"never resumes a lane", "lane_pause.go",
		"case n.mayResume(p):", "case false:"},
	{"does not interrupt a Fetch to resume a lane", "lane_pause.go",
		"		(*cancel)()\n", "		_ = cancel\n"},
	{"stops committing before the lanes have ended", "commit.go",
		"		case <-lanesDone:", "		case <-n.soft.Done():"},
	{"takes batches of revoked partitions", "partition.go",
		"case p == nil && n.assigned:", "case false:"},
	{"gives up a commit that failed", "commit.go",
		"			c.retry.reset()\n			c.noteCommitted()\n			return true\n		case connectors.IsPermanent(err):",
		"			c.retry.reset()\n			c.noteCommitted()\n			return true\n		case len(c.batches) > 1:\n			return true\n		case connectors.IsPermanent(err):"},
	{"gives undecodable batches to the sink", "deliver.go",
		"if f.batch.Reject != nil || i > 0", "if i > 0"},
	{"forgets what the mapping refuses", "shape.go",
		"			if err := w.reject(b, s.in, err); err != nil {\n				return false, err\n			}\n", ""},
	{"writes what the filter does not let pass", "shape.go",
		"		case passes:\n", "		case err == nil:\n"},
	{"acknowledges what is not shaped yet", "shape.go",
		"		w.acknowledged(f, done)\n", "		w.acknowledged(f, len(b.Messages))\n"},
	{"forgets the rest of a batch that was cut", "shape.go",
		"	if s.in == len(b.Messages) {\n", "	if s.in > 0 {\n"},
	{"writes what was ready again", "shape.go",
		"view.Messages = s.messages[first:", "view.Messages = s.messages[0:"},
	{"dead-letters what the mapping has made", "reject.go",
		"Message: *original(m),", "Message: *m,"},
	{"maps the letter instead of what it was", "redrive.go",
		"one.Messages[0], err = eval.Map(one, &l.Message)", "one.Messages[0], err = l.Message, nil"},
}

// TestMutants builds the package with each fault and sees ring 1 fail.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			text, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(text), m.old) != 1 {
				t.Fatalf("%s holds %q %d times, want once", m.file, m.old, strings.Count(string(text), m.old))
			}
			out, err := runWith(t, m.file, strings.Replace(string(text), m.old, m.new, 1))
			switch {
			case err == nil:
				t.Errorf("ring 1 did not notice")
			case strings.Contains(out, "build failed"):
				t.Errorf("the mutant does not compile:\n%s", out)
			}
		})
	}
}

// runWith runs ring 1 with another text of one file.
func runWith(t *testing.T, file, text string) (string, error) {
	dir := t.TempDir()
	mutant := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutant, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "test", "-overlay", list, "-vet=off", "-run", "^Test(Ring1|Shape.*)$", "-timeout", "15s", ".").CombinedOutput()
	return string(out), err
}
