package config

import "testing"

func TestRates(t *testing.T) {
	for text, want := range map[string]int64{"5000/s": 5000, "1/s": 1, "none": 0, "5000": -1, "0/s": -1, "-1/s": -1, "1.5/s": -1, "5000/m": -1, "": -1, "20MiB/s": -1} {
		var r MessageRate
		if err := r.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && int64(r) != want {
			t.Errorf("%q: %d, %v", text, r, err)
		}
		if back, _ := r.MarshalText(); want >= 0 && string(back) != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
	for text, want := range map[string]int64{"20MiB/s": 20 << 20, "500B/s": 500, "none": 0, "20MiB": -1, "20/s": -1, "0B/s": -1, "MiB/s": -1} {
		var r ByteRate
		if err := r.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && int64(r) != want {
			t.Errorf("%q: %d, %v", text, r, err)
		}
		if back, _ := r.MarshalText(); want >= 0 && string(back) != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
}
