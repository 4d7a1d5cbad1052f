// Watchers of one key in etcd, measured as tests/bench/situations/watch/watchers_main.ts measures those of kvraft.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type watchers struct {
	Addresses   []string `json:"addresses"`
	Connections int      `json:"connections"`
	Watchers    int      `json:"watchers"`
	Puts        int      `json:"puts"`
	ValueBytes  int      `json:"valueBytes"`
	RestMs      float64  `json:"restMs"`
}

const watchedKey = "watched/key"

// Prints "ready", rests, puts the key so often, and returns how long its watchers took each time.
func watch(work watchers) (map[string]any, error) {
	var received atomic.Int64
	var firstAt, lastAt atomic.Int64
	all := make(chan struct{}, 1)
	for connection := range work.Connections {
		endpoint := work.Addresses[connection%len(work.Addresses)]
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: dialTimeout})
		if err != nil {
			return nil, err
		}
		defer client.Close()
		// Watches with one context share a stream.
		ctx := context.Background()
		for number := connection; number < work.Watchers; number += work.Connections {
			events := client.Watch(ctx, watchedKey, clientv3.WithCreatedNotify())
			if created := <-events; !created.Created {
				return nil, fmt.Errorf("a watch was not created: %v", created.Err())
			}
			go func() {
				for response := range events {
					if len(response.Events) == 0 {
						continue
					}
					now := time.Now().UnixNano()
					switch received.Add(1) {
					case 1:
						firstAt.Store(now)
					case int64(work.Watchers):
						lastAt.Store(now)
						all <- struct{}{}
					}
				}
			}()
		}
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: work.Addresses[:1], DialTimeout: dialTimeout})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := client.Get(context.Background(), watchedKey); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "ready")
	time.Sleep(time.Duration(work.RestMs * float64(time.Millisecond)))
	value := valueOf(work.ValueBytes)
	spread, last := []float64{}, []float64{}
	for range work.Puts {
		received.Store(0)
		startedAt := time.Now().UnixNano()
		if _, err := client.Put(context.Background(), watchedKey, value); err != nil {
			return nil, err
		}
		<-all
		// With a single watcher the first event is the last one, too.
		spread = append(spread, float64(lastAt.Load()-firstAt.Load())/1e6)
		last = append(last, float64(lastAt.Load()-startedAt)/1e6)
	}
	return map[string]any{"spreadMs": spread, "lastMs": last}, nil
}
