// Package page tests the live page in a real Chromium: a stall is seen in words, colour and shape, a daemon
// that dies and comes back keeps the rows, two hundred routes stay quick, a keyboard is enough, and axe-core
// finds nothing. The browser is Debian's chromium, or what SLUICE_BROWSER names; without one the tests are
// skipped, and fail where CI is set. SLUICE_PICTURES names a directory for the screenshots.
package page
