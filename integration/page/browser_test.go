//go:build integration

package page

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe is axe-core 4.14.1 as npm has it (MPL-2.0, testdata/LICENSE-axe-core.txt).
//
//go:embed testdata/axe.min.js
var axe string

// tab is a page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	faults  []string // errors of the console
	foreign []string // requests to another host
	host    string
	away    bool // the daemon is down: that it cannot be reached is no fault
}

// program finds the browser.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("SLUICE_BROWSER"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	const missing = "there is no chromium: apt-get install chromium, or name one in SLUICE_BROWSER"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// open opens a page at a width of so many pixels.
func open(t *testing.T, address string, width, height int) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(width, height), chromedp.Flag("force-device-scale-factor", "1"), chromedp.Flag("disable-background-networking", true),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, ctx: ctx, host: at.Host}
	b.do(chromedp.Navigate("about:blank"))
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.size(width, height)
	b.do(chromedp.Navigate(address))
	t.Cleanup(b.verdict)
	return b
}

// hear notes what the browser complains of, and where it goes.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if !b.away && e.Entry.Level == "error" {
			b.faults = append(b.faults, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.faults = append(b.faults, fmt.Sprintf("console.%s", e.Type))
		}
	case *network.EventRequestWillBeSent:
		if at, err := url.Parse(e.Request.URL); err != nil || at.Host != b.host && at.Scheme != "data" {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	}
}

// verdict is what every test ends with.
func (b *tab) verdict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		b.t.Errorf("the console has errors:\n%s", strings.Join(b.faults, "\n"))
	}
	if len(b.foreign) > 0 {
		b.t.Errorf("requests to other hosts: %v", b.foreign)
	}
}

// daemonAway says that the daemon is down, or up again.
func (b *tab) daemonAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) size(width, height int) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(int64(width), int64(height)))
}

// scheme makes the browser prefer light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, s *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return chromedp.Void{}, err
	})
}

// eval returns what an expression comes to.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text returns what an element shows.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ""`, selector))
}

// until waits until an expression is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !eval[bool](b, "!!("+expression+")") {
		if time.Now().After(deadline) {
			b.picture("never")
			b.t.Fatalf("never %s; the page says:\n%s", what, eval[string](b, "document.body.innerText"))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-b.ctx.Done():
			b.t.Fatal(context.Cause(b.ctx))
		}
	}
}

// picture keeps a screenshot of the whole page where SLUICE_PICTURES says.
func (b *tab) picture(name string) {
	b.t.Helper()
	b.shoot(name, chromedp.FullScreenshot(100))
}

func (b *tab) shoot(name string, shot chromedp.Action[[]byte]) {
	b.t.Helper()
	dir := os.Getenv("SLUICE_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, shot)
	err = errors.Join(err, os.MkdirAll(dir, 0o755))
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)); err != nil {
		b.t.Error(err)
	}
}

// accessible wants axe-core to find nothing. Of many rows, which are all made alike, it looks at a few.
func (b *tab) accessible(when string) {
	b.t.Helper()
	eval[bool](b, axe+"\n;true")
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run({exclude: "#routes tbody tr:nth-child(n+6)"}, {resultTypes: ["violations"]}).then((r) => JSON.stringify(
		r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.target + " " + n.failureSummary).join("; "))))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	var violations []string
	if err := json.Unmarshal([]byte(found), &violations); err != nil || len(violations) > 0 {
		b.t.Errorf("axe, %s: %s (%v)", when, strings.Join(violations, "\n"), err)
	}
	if wide := eval[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		b.t.Errorf("%s: the page is %d px wider than the window", when, wide)
	}
}
