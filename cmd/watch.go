package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-bridge/sluice/bridge"
	"github.com/sluice-bridge/sluice/connectors"
)

// lookAtFilesEvery is how often `run --watch` looks at the files: they are looked at and not listened to, so that it works
// where they are mounted, linked or swapped.
const lookAtFilesEvery = time.Second

// stamps tell one state of files from another: by path, what it leads to, its size and its time. Empty: it is not there.
type stamps map[string]string

func stampsOf(paths []string) stamps {
	s := stamps{}
	s.add(paths)
	return s
}

// add adds the files that are not in it yet.
func (s stamps) add(paths []string) {
	for _, path := range paths {
		if _, known := s[path]; !known {
			s[path] = stampOf(path)
		}
	}
}

func stampOf(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	info, err := os.Stat(real)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", real, info.Size(), info.ModTime().UnixNano())
}

// changed returns a file that is not as it was when it was read last, empty if there is none.
func (s stamps) changed(now stamps) string {
	for path, stamp := range now {
		if s[path] != stamp {
			return path
		}
	}
	return ""
}

// gone returns the files that were there when they were read last and are not now.
func (s stamps) gone(now stamps) string {
	var paths []string
	for path, stamp := range now {
		if stamp == "" && s[path] != "" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return strings.Join(paths, ", ")
}

func (s stamps) equal(o stamps) bool { return len(s) == len(o) && s.changed(o) == "" }

// watch decides when files that change are read again: once they have not changed from one look to the next, so that
// none is read while it is written.
type watch struct {
	pending stamps // as they were at the latest look, if that showed a change
	gone    string // the files whose absence was told
}

// look returns the file that has changed since they were read, as seen, or the files that are not there any more, where
// that is news: what stood in them goes on running, and as long as that is so nothing else counts as changed.
func (w *watch) look(seen, now stamps) (changed, gone string) {
	if gone = seen.gone(now); gone != "" {
		if gone == w.gone {
			return "", ""
		}
		w.gone, w.pending = gone, nil
		return "", gone
	}
	w.gone = ""
	path := seen.changed(now)
	if path == "" {
		w.pending = nil
		return "", ""
	}
	settled := w.pending.equal(now)
	w.pending = now
	if !settled {
		return "", ""
	}
	return path, ""
}

// follow reloads when SIGHUP says so, and with files where one of them has changed, until ctx ends.
func (d *daemon) follow(ctx context.Context, hangups <-chan os.Signal, files bool) {
	var ticks <-chan time.Time
	every := lookAtFilesEvery
	if d.app.lookEvery > 0 {
		every = d.app.lookEvery
	}
	tick := time.NewTimer(connectors.UntilTick(every))
	defer tick.Stop()
	if files {
		ticks = tick.C
	}
	var w watch
	for {
		// What fails is told by the reload.
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_, _ = d.reloads.reload(ctx, bridge.Operator{Who: "SIGHUP"})
		case <-ticks:
			tick.Reset(connectors.UntilTick(every))
			path, gone := d.reloads.look(&w)
			switch {
			case gone != "":
				d.log.Warn().Str("file", gone).Msg("a file of the configuration is gone; what stood in it goes on running, and no other change is read, until the file is back, or a reload (sluice reload, SIGHUP)")
			case path != "":
				_, _ = d.reloads.reload(ctx, bridge.Operator{Who: "--watch", Why: path + " has changed"})
			}
		}
	}
}

func (r *reloader) look(w *watch) (changed, gone string) {
	r.mu.Lock()
	seen := r.seen
	r.mu.Unlock()
	return w.look(seen, stampsOf(r.watched())) // which may take long where files are mounted
}

// watched are the files of the configuration that holds, and of the one that was read last.
func (r *reloader) watched() []string {
	r.mu.Lock()
	holds, tried := r.cfg, r.tried
	r.mu.Unlock()
	files := holds.Watched()
	if tried != nil {
		files = append(files, tried.Watched()...)
	}
	return files
}
