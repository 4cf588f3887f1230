package main

import "testing"

// What a kill doubles may come late if a broker is away meanwhile, but not for ever, and not without end.
func TestExcuses(t *testing.T) {
	r := &route{name: "r", log: &timeline{}}
	found := map[string]evidence{"r": {}}
	r.log.faults = []*fault{
		{At: 100, Held: 1, Recovered: 1, Allowed: 2, Found: found, Kind: killed},
		{At: 103, Held: 29, Found: found},
		{At: 500, Held: 1, Recovered: 1, Allowed: 1, Found: map[string]evidence{"other": {}}},
	}
	all := r.excuses()
	if len(all) != 1 || all[0].until != 161 {
		t.Fatalf("%d excuses, the first until %v", len(all), all[0].until)
	}
	for _, c := range []struct {
		at   float64
		want bool
	}{{99, false}, {101, true}, {162, false}, {160, true}, {endOfTime, false}} {
		e := latest(all, c.at)
		if (e != nil) != c.want {
			t.Errorf("excused at %v: %v, want %v", c.at, e != nil, c.want)
		}
		if e != nil {
			e.left--
		}
	}
}
