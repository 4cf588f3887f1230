package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	Page().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w
}

// Everything that the page names is served, under the policy, and nothing names another host.
func TestPage(t *testing.T) {
	page := get("/")
	if page.Code != http.StatusOK || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(page.Header().Get("Content-Security-Policy"), part) {
			t.Errorf("no %s in the policy", part)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		if w := get("/" + m[1]); w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d", m[1], w.Code)
		}
	}
	for _, path := range []string{"/assets/", "/assets/none.js", "/assets/../page.go", "/page.html"} {
		if w := get(path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
	err := fs.WalkDir(assets, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "uPlot") {
			return err
		}
		text, err := fs.ReadFile(assets, path)
		for _, m := range regexp.MustCompile(`https?://[^"'\s]+`).FindAllString(string(text), -1) {
			if m != "http://www.w3.org/2000/svg" {
				t.Errorf("%s names %s", path, m)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The copy of uPlot is npm's uplot@1.6.32, unchanged.
func TestCopies(t *testing.T) {
	for name, want := range map[string]string{
		"uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	} {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is %x", name, sum)
		}
	}
}
