package connectors

import (
	"errors"
	"testing"
)

type sample struct{ A, B int }

func (s *sample) Validate() error {
	if s.B > 5 {
		return Fieldf("b", "too much")
	}
	return nil
}

func TestNewSource(t *testing.T) {
	var seen sample
	factory := NewSource(func(a About) sample { return sample{A: 1, B: a.Window.Messages} },
		func(c sample, _ About) (*SourceSpec, error) { seen = c; return &SourceSpec{Remote: true}, nil })
	set := func(b int) Decode {
		return func(into any) error { into.(*sample).B = b; return nil }
	}
	if spec, err := factory(set(4), About{}); err != nil || !spec.Remote || seen != (sample{A: 1, B: 4}) {
		t.Errorf("the section over the defaults: %+v, %v", seen, err)
	}
	var field *FieldError
	if _, err := factory(set(6), About{}); !errors.As(err, &field) || field.Path != "b" {
		t.Errorf("Validate was not asked: %v", err)
	}
	bad := errors.New("unknown key")
	if _, err := factory(func(any) error { return bad }, About{Window: Room{Messages: 9}}); !errors.Is(err, bad) {
		t.Errorf("the decoder's error: %v", err)
	}
}

func TestRegistry(t *testing.T) {
	r, err := NewRegistry(Plugin{Name: "a"}, Plugin{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Lookup("b"); !ok {
		t.Error("b is not found")
	}
	if _, ok := r.Lookup("c"); ok {
		t.Error("c is found")
	}
	r.Plugins()[0].Name = "x"
	if _, ok := r.Lookup("a"); !ok {
		t.Error("a registry can be changed from outside")
	}
	for _, plugins := range [][]Plugin{{{}}, {{Name: "a"}, {Name: "a"}}} {
		if _, err := NewRegistry(plugins...); err == nil {
			t.Errorf("%v was accepted", plugins)
		}
	}
}

func TestEnvAccepts(t *testing.T) {
	e := Env{AcceptLoss: []string{"core_source"}}
	if !e.Accepts("core_source") || e.Accepts("discard_old") {
		t.Error("Accepts")
	}
}
