// clientv3 and its recipes while a cluster is disturbed, until standard input ends: then a line of JSON tells what was
// wrong, and has the recorded history.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	dialTimeout = 5 * time.Second
	// Time for one operation; longer than an election.
	operationTimeout = 8 * time.Second
	restBetween      = 15 * time.Millisecond
	progressEvery    = 100 * time.Millisecond
	endTimeout       = 60 * time.Second
)

// The parts that run at the same time, and their counts of finished operations.
type recipes struct {
	endpoints []string
	// Done when the parts must end.
	ctx context.Context
	// Ends what is still in progress after that.
	hard     context.Context
	history  history
	mutex    sync.Mutex
	problems []string
	counts   map[string]*atomic.Int64
	waiting  sync.WaitGroup
}

type report struct {
	Problems []string         `json:"problems"`
	Counts   map[string]int64 `json:"counts"`
	History  []operation      `json:"history"`
}

var parts = []string{"history", "mutex", "election", "stm", "watch", "watched", "compactions"}

func runRecipes(endpoints []string, input io.Reader, output io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	hard, abort := context.WithCancel(context.Background())
	defer abort()
	r := &recipes{endpoints: endpoints, ctx: ctx, hard: hard, counts: map[string]*atomic.Int64{}}
	for _, part := range parts {
		r.counts[part] = &atomic.Int64{}
	}
	encoder := json.NewEncoder(output)
	var printing sync.WaitGroup
	for _, start := range []func() error{r.startHistory, r.startMutex, r.startElection, r.startSTM, r.startWatch} {
		if err := start(); err != nil {
			stop()
			return err
		}
	}
	printing.Go(func() {
		for r.rest(progressEvery) {
			_ = encoder.Encode(map[string]any{"progress": r.countsNow()})
		}
	})
	_, _ = io.Copy(io.Discard, input)
	stop()
	printing.Wait()
	time.AfterFunc(endTimeout, abort)
	r.waiting.Wait()
	return encoder.Encode(report{r.problems, r.countsNow(), r.history.operations})
}

func (r *recipes) countsNow() map[string]int64 {
	counts := map[string]int64{}
	for name, count := range r.counts {
		counts[name] = count.Load()
	}
	return counts
}

// Waits; returns whether the parts go on.
func (r *recipes) rest(duration time.Duration) bool {
	select {
	case <-r.ctx.Done():
		return false
	case <-time.After(duration):
		return true
	}
}

func (r *recipes) problem(format string, values ...any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, values...))
}

// Returns a client whose first endpoint is one of all.
func (r *recipes) client(number int) (*clientv3.Client, error) {
	at := number % len(r.endpoints)
	endpoints := append(append([]string{}, r.endpoints[at:]...), r.endpoints[:at]...)
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: dialTimeout,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second,
	})
}

func (r *recipes) operation() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.hard, operationTimeout)
}

// Starts so many goroutines with a client each.
func (r *recipes) start(count int, run func(number int, client *clientv3.Client)) error {
	for number := range count {
		client, err := r.client(number)
		if err != nil {
			return err
		}
		r.waiting.Go(func() {
			defer client.Close()
			run(number, client)
		})
	}
	return nil
}
