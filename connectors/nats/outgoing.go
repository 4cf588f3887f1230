package nats

import "github.com/sluice-bridge/sluice/connectors"

// outgoing is the state of one Write.
type outgoing struct {
	cursor cursor // the first message that is not done
	total  int
	failed []connectors.Failure
}

func newOutgoing(batches []*connectors.Batch) *outgoing {
	w := &outgoing{cursor: cursor{batches: batches}}
	for _, b := range batches {
		w.total += len(b.Messages)
	}
	w.cursor.skip(0) // over empty batches
	return w
}

// end returns what a Write returns that has come to its end.
func (w *outgoing) end() error {
	if len(w.failed) > 0 {
		return &connectors.BatchError{Failed: w.failed}
	}
	return nil
}

// cursor walks over the messages of batches.
type cursor struct {
	batches []*connectors.Batch
	at, in  int // batches[at].Messages[in]
	index   int // counted over all
}

func (c *cursor) batch() *connectors.Batch     { return c.batches[c.at] }
func (c *cursor) message() *connectors.Message { return &c.batches[c.at].Messages[c.in] }

// skip moves over n messages. Behind the last one it stands at no message.
func (c *cursor) skip(n int) {
	c.index += n
	c.in += n
	for c.at < len(c.batches) && c.in >= len(c.batches[c.at].Messages) {
		c.in -= len(c.batches[c.at].Messages)
		c.at++
	}
}

// fail ends the Write because of err: everything from the cursor on is not delivered.
func (w *outgoing) fail(err error) error {
	if w.cursor.index == 0 && len(w.failed) == 0 || connectors.IsPermanent(err) {
		return err
	}
	for i := w.cursor.index; i < w.total; i++ {
		w.failed = append(w.failed, connectors.Failure{Index: i, Err: err})
	}
	return &connectors.BatchError{Failed: w.failed}
}

func (w *outgoing) refuse(err error) {
	w.failed = append(w.failed, connectors.Failure{Index: w.cursor.index, Err: err})
	w.cursor.skip(1)
}

// advance moves over what an outcome settles.
func (w *outgoing) advance(o outcome) {
	w.failed = append(w.failed, o.refused...)
	w.cursor.skip(o.done)
}
