package cmd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const smapsText = `00400000-01776000 r-xp 00000000 fe:00 10404483                           /usr/bin/sluice
Size:              19928 kB
Rss:               11352 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
01776000-02c60000 r--p 01376000 fe:00 10404483                           /usr/bin/sluice
Rss:               13800 kB
Anonymous:             0 kB
Swap:                  0 kB
02c60000-02ced000 rw-p 02860000 fe:00 10404483                           /usr/bin/sluice
Anonymous:             0 kB
Swap:                  0 kB
02d00000-02e00000 r--p 02960000 fe:00 10404483                           /usr/bin/sluice
Anonymous:             4 kB
Swap:                  0 kB
02e00000-02f00000 r--p 02960000 fe:00 10404483                           /usr/bin/sluice
Anonymous:             0 kB
Swap:                 16 kB
SwapPss:              16 kB
02ced000-04d3c000 rw-p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f0000000000-7f0000010000 r-xp 00000000 fe:00 77                         /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
`

// Only what is as it is in the file may be dropped: a relocated or patched page would be gone, a swapped one too.
func TestProgramMaps(t *testing.T) {
	got := programMaps(strings.NewReader(smapsText), "/usr/bin/sluice")
	want := []mapping{{0x400000, 0x1776000}, {0x1776000, 0x2c60000}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestReleaseProgram(t *testing.T) {
	for range 3 {
		releaseProgram() // and the test goes on, from the page cache
	}
}
