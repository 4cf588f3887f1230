package wire

// The API key and version of a request for a producer id (KIP-98).
const (
	InitProducerIDKey     = 22
	InitProducerIDVersion = 1
)

// AppendInitProducerID appends the body of a request for a new id that belongs to no transaction. Any
// broker answers it.
func AppendInitProducerID(dst []byte) []byte {
	dst = AppendNullable(dst, "")
	return AppendInt32(dst, -1) // no transaction that could time out
}

// ReadInitProducerID reads the answer's body. An id below 0 must not be used even without an error code:
// brokers give one while they start, and what is written under it is not idempotent.
func ReadInitProducerID(body []byte) (p Producer, code int16, err error) {
	f := Fields{B: body}
	f.Int32() // throttle
	code = f.Int16()
	p = Producer{ID: f.Int64(), Epoch: f.Int16()}
	return p, code, f.Err
}
