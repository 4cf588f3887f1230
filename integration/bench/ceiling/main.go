// Command ceiling does one half of a bridge's work alone, with the cheapest form that is known, and
// nothing else: it decodes what it must to count, and encodes from memory. It shows what the brokers
// give on this machine; no bridge can be faster.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-bridge/sluice/integration/bench/profile"
)

// job is what a ceiling is asked for.
type job struct {
	kafka, nats   string
	topic, stream string
	name          string // of the durable
	messages      int64
	size          int
}

// Result is what a ceiling prints: of consuming, the time from the first message to the last, and the
// processor time the process used meanwhile.
type Result struct {
	Messages int64
	Wall     time.Duration
	CPU      time.Duration
}

func main() {
	var j job
	what := flag.String("do", "", "fetch, produce, pull, publish-fast or publish-stock")
	flag.StringVar(&j.kafka, "kafka", "", "`host:port`")
	flag.StringVar(&j.nats, "nats", "", "`host:port`")
	flag.StringVar(&j.topic, "topic", "", "the topic")
	flag.StringVar(&j.stream, "stream", "", "the stream")
	flag.StringVar(&j.name, "name", "", "of the durable")
	flag.Int64Var(&j.messages, "messages", 0, "how many")
	flag.IntVar(&j.size, "size", 0, "bytes of a value")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	defer profile.Start()()
	do := map[string]func(context.Context, *job) (Result, error){
		"fetch": fetch, "produce": produce, "pull": pull,
		"publish-fast":  func(_ context.Context, j *job) (Result, error) { return publish(j, true) },
		"publish-stock": func(_ context.Context, j *job) (Result, error) { return publish(j, false) },
	}[*what]
	if do == nil {
		log.Fatalf("-do %q", *what)
	}
	result, err := do(ctx, &j)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
	<-ctx.Done() // the harness reads our CPU and memory first
}

// stopwatch measures from its first lap to its last.
type stopwatch struct {
	begin, end time.Time
	cpu        time.Duration
	count      int64 // at begin
}

// lap is called for each piece of work that is done, with all that is done so far.
func (w *stopwatch) lap(done int64) {
	w.end = time.Now()
	if w.begin.IsZero() {
		w.begin, w.cpu, w.count = w.end, used(), done
	}
}

func (w *stopwatch) result(done int64) Result {
	return Result{done - w.count, w.end.Sub(w.begin), used() - w.cpu}
}

// used returns the processor time of the process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
