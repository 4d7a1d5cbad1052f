// Puts and gets of clientv3, one after the other by each client, until standard input ends: then a line of JSON tells how
// many there were, and why some failed.
package main

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	steadyClients = 12
	steadyRest    = 2 * time.Millisecond
	steadyTimeout = 30 * time.Second
)

type steadyReport struct {
	Clients  int            `json:"clients"`
	Requests int            `json:"requests"`
	Failures map[string]int `json:"failures"`
	// The longest request that succeeded.
	LongestMs float64 `json:"longestMs"`
}

func runSteady(endpoints []string, input io.Reader, output io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	r := &recipes{endpoints: endpoints, ctx: ctx, hard: context.Background()}
	report := steadyReport{Clients: steadyClients, Failures: map[string]int{}}
	var mutex sync.Mutex
	encoder := json.NewEncoder(output)
	record := func(startedAt time.Time, err error) {
		mutex.Lock()
		defer mutex.Unlock()
		report.Requests++
		if err != nil {
			report.Failures[err.Error()]++
			return
		}
		report.LongestMs = max(report.LongestMs, float64(time.Since(startedAt))/float64(time.Millisecond))
	}
	if err := r.start(steadyClients, func(number int, client *clientv3.Client) {
		key := "steady/" + strconv.Itoa(number)
		for count := 0; ; count++ {
			operation, cancel := context.WithTimeout(context.Background(), steadyTimeout)
			startedAt := time.Now()
			var err error
			if count%2 == 0 {
				_, err = client.Put(operation, key, strconv.Itoa(count))
			} else {
				_, err = client.Get(operation, key)
			}
			cancel()
			record(startedAt, err)
			if !r.rest(steadyRest) {
				return
			}
		}
	}); err != nil {
		stop()
		return err
	}
	r.waiting.Go(func() {
		for r.rest(progressEvery) {
			mutex.Lock()
			_ = encoder.Encode(map[string]int{"steady": report.Requests})
			mutex.Unlock()
		}
	})
	_, _ = io.Copy(io.Discard, input)
	stop()
	r.waiting.Wait()
	return encoder.Encode(report)
}
