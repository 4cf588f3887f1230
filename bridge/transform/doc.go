// Package transform is what a route does with messages between its ends: it filters them, and maps where they go
// and which headers they have. What a message holds stays byte for byte what it is.
//
// # Expressions
//
// A filter is one expression that is true or false, and so is each {{ place }} of a template of the route's map that
// is more than a name. They are those of [expr-lang], compiled and type-checked when the configuration is read. All
// see the message as the source returned it:
//
//	topic, subject  where it was read from, both the same
//	tokens          subject split at its dots: tokens[0], tokens[-1]
//	partition       the number of its Kafka partition, -1 where it has none
//	offset          its place in the partition
//	key             its key as text, "" where it has none
//	headers["x"]    the first value of a header, nil where there is none: headers["x"] ?? "none"
//	time            when the origin stored it, in UTC
//	size            of its value, in bytes
//	route           the route's name
//	json("a.b.0")   a field of a JSON value, nil where there is none; objects and lists as their text. Nothing else of
//	                the value is decoded, or checked
//
// The operators are those of the language (== != < in, contains, startsWith, endsWith, matches with a fixed pattern,
// and or not, + - * / %, ?: and ??), the functions len, lower, upper, trim, trimPrefix, trimSuffix, split, join,
// replace, hasPrefix, hasSuffix, indexOf, lastIndexOf, int, float, string, abs, min, max, round, floor, ceil, date
// and duration. What is nil is not true. There are no variables, loops, ranges or clocks: the same message always gives the same.
//
// The value of a place becomes one word of its target: one token of a subject, whatever it holds. dotted(x) around
// the whole expression lets its dots part tokens.
//
// # Bounds
//
// An expression has at most 4 KiB and 256 nodes, and is given memory for a million of the language's units. A text
// that it reads is at most 64 KiB, a value that json reads 1 MiB, and what it makes 4 KiB; a header is set to 64 KiB at
// most: a message with more is refused. So is one of which an expression asks for what is not there (nil in a
// template, tokens[9]), or that gives something else than is wanted: the route's on_reject has it, with the reason.
//
// # What it costs
//
// A template of names costs what it costs without this package. A filter by a header takes some 200 ns of a message in
// all, and an expression in a template 300 more. The language allocates a few words for each text that is not that of
// the message before, for a number above 255, and for a time; for nothing else.
//
// [expr-lang]: https://expr-lang.org/docs/language-definition
package transform
