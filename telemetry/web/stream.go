package web

import (
	"cmp"
	"net/http"
	"time"
)

// writeWait is how long one event may take on its way to a client.
const writeWait = 20 * time.Second

// ServeHTTP streams events until the client goes, is dropped, or the feed is closed.
func (f *Feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := f.join(cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after")))
	if err != nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer f.leave(c)
	control := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // or a proxy holds events back
	text := []byte("retry: 2000\n\n")
	for ok := true; ok; {
		// The server's own deadline is for answers that end. A connection that cannot be given another is no
		// reason to refuse.
		_ = control.SetWriteDeadline(time.Now().Add(writeWait))
		if _, err := w.Write(text); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
		select {
		case text, ok = <-c.events:
		case <-r.Context().Done():
			return
		}
	}
}
