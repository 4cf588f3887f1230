// Package doctor walks the checks that the ends of routes offer ([connectors.Examination]), one after the other,
// and tells what came out. It knows no broker: what is asked, and the way out, is the connectors' to say.
//
// A check whose precondition has failed is skipped, so that the first failure of a chain explains itself. A
// connection is asked about once, however many routes share it. Nothing is written and
// nobody's place is taken, so that a daemon may run meanwhile.
package doctor
