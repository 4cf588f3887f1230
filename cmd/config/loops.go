package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-bridge/sluice/bridge"
)

// loops looks for routes that lead in a circle, by the places that their ends name. Two that lead back and
// forth are a two-way bridge: neither sends back what came by the other. All else would move a message
// round and round, and is refused unless each of the routes says how many bridges a message may pass.
func (r *reader) loops() {
	g := newGraph(r.cfg.Bridge.Routes)
	told := map[int]bool{}
	for i := range g.routes {
		rc := &g.routes[i]
		if shared := meets(g.writes(i), g.reads(i)); shared != "" && rc.MaxHops == 0 {
			r.add(r.seen[rc.Name], codeLoop, "write to another place; or, if filters keep them apart, say max_hops: 2",
				"the route %q writes to where it reads (%s): each message would come again", rc.Name, shared)
		}
		if rc.DeadLetter != nil && rc.Source != nil {
			if shared := meets(rc.DeadLetter.Places, rc.Source.Places); shared != "" {
				r.add(r.seen[rc.Name], codeLoop, "write them to another place",
					"the dead letters of the route %q go to where it reads (%s): each would come again", rc.Name, shared)
			}
		}
		for _, j := range g.next[i] {
			if i < j && g.leadsBack(i, j) && !r.twoWay(rc, &g.routes[j]) {
				told[i], told[j] = true, true
			}
		}
	}
	for i := range g.routes {
		if g.routes[i].MaxHops > 0 || told[i] {
			continue
		}
		if circle := g.circle(i); circle != nil {
			for _, j := range circle {
				told[j] = true
			}
			r.circle(g, circle)
		}
	}
}

// twoWay lets two routes lead back and forth if it is known where a message came from, and reports whether
// it has.
func (r *reader) twoWay(a, b *bridge.RouteConfig) bool {
	named := a.Source.Named && a.Sink.Named && b.Source.Named && b.Sink.Named
	both := fmt.Sprintf("the routes %q and %q (%s) lead back and forth", a.Name, b.Name, r.seen[b.Name])
	switch {
	case named && a.Headers && b.Headers:
		for _, way := range []struct{ of, back *bridge.RouteConfig }{{a, b}, {b, a}} {
			way.of.WayBack = strings.TrimPrefix(way.of.WayBack+", "+way.back.Name, ", ")
		}
		return true
	case a.MaxHops > 0 && b.MaxHops > 0:
		return true
	case named:
		r.add(r.seen[a.Name], codeLoop, "leave headers: none out of both, or take one of them out",
			"%s, and without headers nobody knows what came from where", both)
	default:
		r.add(r.seen[a.Name], codeLoop, "take one of them out, or say max_hops: 2 in both: what has passed so many bridges is refused",
			"%s, and an end of them cannot tell where a message came from", both)
	}
	return false
}

func (r *reader) circle(g *graph, circle []int) {
	names := make([]string, len(circle))
	for i, at := range circle {
		name := g.routes[at].Name
		names[i] = fmt.Sprintf("%s (%s)", name, r.seen[name])
	}
	first := g.routes[circle[0]].Name
	r.add(r.seen[first], codeLoop, fmt.Sprintf("take one out, or say max_hops: %d in each: what has passed so many bridges is refused", len(circle)),
		"the routes %s → %s lead in a circle", strings.Join(names, " → "), first)
}

// graph is which route may read what another has written.
type graph struct {
	routes []bridge.RouteConfig
	next   [][]int
}

func newGraph(routes []bridge.RouteConfig) *graph {
	g := &graph{routes: routes, next: make([][]int, len(routes))}
	readers := map[string][]int{}
	for i := range routes {
		for _, place := range g.reads(i) {
			readers[place] = append(readers[place], i)
		}
	}
	for i := range routes {
		for _, place := range g.writes(i) {
			for _, j := range readers[place] {
				if !slices.Contains(g.next[i], j) {
					g.next[i] = append(g.next[i], j)
				}
			}
		}
	}
	return g
}

func (g *graph) reads(i int) []string {
	if s := g.routes[i].Source; s != nil {
		return s.Places
	}
	return nil
}

func (g *graph) writes(i int) []string {
	if s := g.routes[i].Sink; s != nil {
		return s.Places
	}
	return nil
}

// meets returns a place that stands in both lists, empty if there is none.
func meets(a, b []string) string {
	for _, place := range a {
		if slices.Contains(b, place) {
			return place
		}
	}
	return ""
}

// leadsBack reports whether j writes to where i reads.
func (g *graph) leadsBack(i, j int) bool { return meets(g.writes(j), g.reads(i)) != "" }

// circle returns the shortest way from a route back to itself on which no route sends back what the one
// before it has brought, nil if there is none. A route that writes to where it reads is no circle.
func (g *graph) circle(from int) []int {
	before := map[int]int{from: -1}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		i := queue[0]
		for _, j := range g.next[i] {
			if i == j || g.routes[j].WayBack != "" && g.leadsBack(i, j) {
				continue
			}
			if j == from {
				var way []int
				for ; i >= 0; i = before[i] {
					way = append(way, i)
				}
				slices.Reverse(way)
				return way
			}
			if _, seen := before[j]; !seen {
				before[j] = i
				queue = append(queue, j)
			}
		}
	}
	return nil
}
