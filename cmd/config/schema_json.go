package config

import (
	"encoding/json"
	"fmt"
)

// Schema is the JSON Schema (draft-07) of a file, for editors and for checks that know nothing else of it.
func (d *Description) Schema() ([]byte, error) {
	route, letters, defaults := object(d.route), object(d.deadLetter), object(d.defaults)
	set(route, "source", ref("source"))
	for _, of := range []map[string]any{route, letters} {
		set(of, "sink", ref("sink"))
	}
	for _, of := range []map[string]any{route, defaults} {
		set(of, "dead_letter", ref("dead_letter"))
	}
	route["allOf"] = []any{
		anyOf(map[string]any{"required": []string{"source"}}, map[string]any{"required": []string{"from"}}),
		anyOf(map[string]any{"required": []string{"sink"}}, map[string]any{"required": []string{"to"}}),
	}
	file := object(d.root)
	set(file, "connections", map[string]any{"type": "object", "additionalProperties": oneOf(d.connections)})
	set(file, "defaults", defaults)
	set(file, "routes", map[string]any{
		"type": "object", "minProperties": 1, "additionalProperties": route,
		"propertyNames": map[string]any{"pattern": routeName.String()},
	})
	file["$schema"] = "http://json-schema.org/draft-07/schema#"
	file["title"] = "Configuration of sluice"
	file["definitions"] = map[string]any{
		"source": oneOf(d.sources), "sink": oneOf(d.sinks), "dead_letter": letters,
		"placeholder": map[string]any{
			"type": "string", "pattern": `\$\{`, "description": "${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:path}",
		},
	}
	text, err := json.MarshalIndent(file, "", " ")
	if err != nil {
		return nil, fmt.Errorf("the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// ref is a definition. What stands beside a $ref counts for nothing, so that it is wrapped.
func ref(name string) map[string]any {
	return map[string]any{"allOf": []any{map[string]any{"$ref": "#/definitions/" + name}}}
}

// oneOf is a mapping with one key, the name of a part.
func oneOf(parts []part) map[string]any {
	properties := map[string]any{}
	for _, p := range parts {
		properties[p.name] = object(p.keys)
	}
	return map[string]any{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": properties}
}

// set has a key of an object be of another schema. What is said of it stays.
func set(of map[string]any, name string, schema map[string]any) {
	properties, ok := of["properties"].(map[string]any)
	if !ok {
		return
	}
	one := map[string]any{}
	for key, value := range schema {
		one[key] = value
	}
	if was, ok := properties[name].(map[string]any); ok && was["description"] != nil {
		one["description"] = was["description"]
	}
	properties[name] = one
}
