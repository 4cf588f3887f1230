package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-bridge/sluice/connectors"
)

// noRate is how a rate is written that is not limited.
const noRate = "none"

// MessageRate is a number of messages a second, such as 5000/s; 0, or none: any.
type MessageRate int64

// UnmarshalText reads a number with /s behind it, or none.
func (r *MessageRate) UnmarshalText(text []byte) error {
	if string(text) == noRate {
		*r = 0
		return nil
	}
	number, ok := strings.CutSuffix(string(text), "/s")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if !ok || err != nil || n < 1 || n > 1e12 {
		return fmt.Errorf("%.40q is not a rate of messages; write a whole number a second, such as 5000/s, or none", text)
	}
	*r = MessageRate(n)
	return nil
}

// MarshalText is the inverse.
func (r MessageRate) MarshalText() ([]byte, error) {
	if r == 0 {
		return []byte(noRate), nil
	}
	return append(strconv.AppendInt(nil, int64(r), 10), "/s"...), nil
}

// ByteRate is a number of bytes a second, such as 20MiB/s; 0, or none: any.
type ByteRate int64

// UnmarshalText reads a size with /s behind it, or none.
func (r *ByteRate) UnmarshalText(text []byte) error {
	if string(text) == noRate {
		*r = 0
		return nil
	}
	size, ok := strings.CutSuffix(string(text), "/s")
	var n connectors.Size
	if err := n.UnmarshalText([]byte(size)); !ok || err != nil || n < 1 {
		return fmt.Errorf("%.40q is not a rate of bytes; write a size a second, such as 20MiB/s, or none", text)
	}
	*r = ByteRate(n)
	return nil
}

// MarshalText is the inverse.
func (r ByteRate) MarshalText() ([]byte, error) {
	if r == 0 {
		return []byte(noRate), nil
	}
	return []byte(connectors.Size(r).String() + "/s"), nil
}
